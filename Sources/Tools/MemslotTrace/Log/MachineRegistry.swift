/// A VM of a log: a descriptor from the `KVM_CREATE_VM` that returned it until it is closed or
/// returned again.
package struct TracedMachine: Hashable, Sendable {
    /// The descriptor that `KVM_CREATE_VM` returned, or that a slot call named first.
    package var descriptor: Int32
    /// The thread that created the VM or, if unknown, made the first slot call.
    package var creator: ThreadID
    /// The line of `KVM_CREATE_VM`; `nil` if the log began later.
    package var createdOnLine: Int?
}

/// Finds the VM of a descriptor in a log.
///
/// Descriptors belong to processes, but `strace -f -e trace=ioctl` prints threads and not
/// processes. If a number belongs to several VMs, the first of these rules decides: the VM that the
/// thread used before under this number; the VM of the thread's process, if the log shows how the
/// thread was created; the VM whose creator's number is the nearest below the thread's.
struct MachineRegistry {
    private(set) var machines: [TracedMachine] = []
    private var live: [Int32: [Int]] = [:]
    private var chosen: [Name: Int] = [:]
    private var process: [ThreadID: ThreadID] = [:]

    private struct Name: Hashable {
        var thread: ThreadID
        var descriptor: Int32
    }

    /// Adds the VM of a `KVM_CREATE_VM` of `thread` that returned `descriptor`.
    mutating func create(descriptor: Int32, thread: ThreadID, line: Int?) -> Int {
        let index = machines.count
        // A process can't use a number twice: the older VM was closed without a record.
        let alive = (live[descriptor] ?? []).filter {
            !belong(thread, machines[$0].creator)
                && chosen[Name(thread: thread, descriptor: descriptor)] != $0
        }
        live[descriptor] = alive + [index]
        chosen[Name(thread: thread, descriptor: descriptor)] = index
        machines.append(
            TracedMachine(descriptor: descriptor, creator: thread, createdOnLine: line))
        return index
    }

    /// The VM of `descriptor` in `thread`; `nil` if there is none.
    mutating func machine(descriptor: Int32, thread: ThreadID) -> Int? {
        guard let candidates = live[descriptor], let last = candidates.last else { return nil }
        let name = Name(thread: thread, descriptor: descriptor)
        if let known = chosen[name], candidates.contains(known) { return known }
        let index = candidates.count == 1 ? last : nearest(of: candidates, to: thread) ?? last
        chosen[name] = index
        return index
    }

    mutating func close(descriptor: Int32, thread: ThreadID) {
        guard let index = machine(descriptor: descriptor, thread: thread) else { return }
        live[descriptor]?.removeAll { $0 == index }
    }

    mutating func duplicate(descriptor: Int32, copy: Int32, thread: ThreadID) {
        guard let index = machine(descriptor: descriptor, thread: thread) else { return }
        let others = (live[copy] ?? []).filter { !belong(thread, machines[$0].creator) }
        live[copy] = others + [index]
        chosen[Name(thread: thread, descriptor: copy)] = index
    }

    mutating func clone(parent: ThreadID, child: ThreadID, sharesProcess: Bool) {
        let own = process[parent] ?? parent
        process[parent] = own
        process[child] = sharesProcess ? own : child
    }

    /// Whether both are known to belong to one process.
    private func belong(_ one: ThreadID, _ other: ThreadID) -> Bool {
        one == other || (process[one] ?? one) == (process[other] ?? other)
    }

    private func nearest(of candidates: [Int], to thread: ThreadID) -> Int? {
        if let own = candidates.last(where: { belong(thread, machines[$0].creator) }) {
            return own
        }
        return candidates.filter { machines[$0].creator <= thread }
            .max { machines[$0].creator < machines[$1].creator }
    }
}

/// The threads inside `KVM_RUN`, by VM.
struct VCPURegistry {
    private var machineOfVCPU: [Int32: [(creator: ThreadID, machine: Int)]] = [:]
    private var inside: [ThreadID: Int?] = [:]
    private var insideByMachine: [Int?: Int] = [:]
    /// The number of entries by VM; `nil` is an unknown VM.
    private var entries: [Int?: Int] = [:]
    /// The state at the VM's last slot call.
    private var asked: [Int: (entries: Int, isInside: Bool)] = [:]

    mutating func create(descriptor: Int32, thread: ThreadID, machine: Int) {
        var known = machineOfVCPU[descriptor] ?? []
        known.removeAll { $0.creator == thread || $0.machine == machine }
        machineOfVCPU[descriptor] = known + [(thread, machine)]
    }

    /// The VM of a vCPU's descriptor; `nil` if its creation is not in the log.
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

    /// Whether a thread was inside `KVM_RUN` of `machine` at any time since the last call of this
    /// method.
    mutating func activitySinceLastCall(of machine: Int) -> Bool {
        let isInside = [machine, nil].contains { (insideByMachine[$0] ?? 0) > 0 }
        let count = (entries[machine] ?? 0) + (entries[nil] ?? 0)
        let before = asked.updateValue((count, isInside), forKey: machine)
        return before?.isInside ?? false || count > before?.entries ?? 0
    }
}
