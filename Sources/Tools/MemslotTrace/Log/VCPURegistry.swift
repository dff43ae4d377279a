/// Who is inside `KVM_RUN`, of which VM.
struct VCPURegistry {
    private var machineOfVCPU: [Int32: [(creator: ThreadID, machine: Int)]] = [:]
    private var inside: [ThreadID: Int?] = [:]
    private var insideByMachine: [Int?: Int] = [:]
    /// The VMs, and `nil` for an unknown one, with how many entries there have been.
    private var entries: [Int?: Int] = [:]
    /// How it was at the VM's last slot call.
    private var asked: [Int: (entries: Int, isInside: Bool)] = [:]

    mutating func create(descriptor: Int32, thread: ThreadID, machine: Int) {
        var known = machineOfVCPU[descriptor] ?? []
        known.removeAll { $0.creator == thread || $0.machine == machine }
        machineOfVCPU[descriptor] = known + [(thread, machine)]
    }

    /// The VM of a vCPU's descriptor; `nil` where its making is not in the log.
    func machine(of descriptor: Int32, thread: ThreadID) -> Int? {
        guard let known = machineOfVCPU[descriptor] else { return nil }
        let nearest = known.filter { $0.creator <= thread }.max { $0.creator < $1.creator }
        return (nearest ?? known.last)?.machine
    }

    mutating func enter(_ thread: ThreadID, machine: Int?) {
        leave(thread)
        inside[thread] = .some(machine)
        insideByMachine[machine, default: 0] += 1
        entries[machine, default: 0] += 1
    }

    mutating func leave(_ thread: ThreadID) {
        guard let machine = inside.removeValue(forKey: thread) else { return }
        insideByMachine[machine, default: 1] -= 1
    }

    /// Whether a thread was inside `KVM_RUN` of `machine` at any time since this was last asked.
    mutating func takeActivity(of machine: Int) -> Bool {
        let isInside = [machine, nil].contains { (insideByMachine[$0] ?? 0) > 0 }
        let count = (entries[machine] ?? 0) + (entries[nil] ?? 0)
        let before = asked.updateValue((count, isInside), forKey: machine)
        return before?.isInside ?? false || count > before?.entries ?? 0
    }
}
