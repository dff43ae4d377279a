import MemslotProtocol

/// A VM of a log: a descriptor of `KVM_CREATE_VM` until it is closed or returned again.
package struct TracedMachine: Hashable, Sendable {
    /// The descriptor that `KVM_CREATE_VM` returned, or that a slot call named first.
    package var descriptor: Int32
    /// The thread that created the VM or, if unknown, made the first slot call.
    package var creator: ThreadID
    /// The line of `KVM_CREATE_VM`; `nil` if the log began later.
    package var createdOnLine: Int?
    /// Whether the log shows at least one vCPU, each from its creation and with a `KVM_RUN`.
    var showsEveryVCPU = false
    var limits: SimulatedParameters?
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
    /// The VM that a thread used last under a descriptor.
    private var chosen: [ThreadID: [Int32: Int]] = [:]
    private var process: [ThreadID: ThreadID] = [:]

    mutating func create(descriptor: Int32, thread: ThreadID, line: Int?) -> Int {
        let index = machines.count
        // A process can't use a number twice: the older VM was closed without a record.
        let alive = (live[descriptor] ?? []).filter {
            !belong(thread, machines[$0].creator) && chosen[thread]?[descriptor] != $0
        }
        live[descriptor] = alive + [index]
        chosen[thread, default: [:]][descriptor] = index
        machines.append(TracedMachine(descriptor: descriptor, creator: thread, createdOnLine: line))
        return index
    }

    mutating func machine(descriptor: Int32, thread: ThreadID) -> Int? {
        guard let candidates = live[descriptor], let last = candidates.last else { return nil }
        if let known = chosen[thread]?[descriptor], candidates.contains(known) { return known }
        let index = candidates.count == 1 ? last : nearest(of: candidates, to: thread) ?? last
        chosen[thread, default: [:]][descriptor] = index
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
        chosen[thread, default: [:]][copy] = index
    }

    mutating func clone(parent: ThreadID, child: ThreadID, sharesProcess: Bool) {
        let own = process[parent] ?? parent
        process[parent] = own
        process[child] = sharesProcess ? own : child
    }

    private func belong(_ one: ThreadID, _ other: ThreadID) -> Bool {
        one == other || (process[one] ?? one) == (process[other] ?? other)
    }

    private func nearest(of candidates: [Int], to thread: ThreadID) -> Int? {
        if let own = candidates.last(where: { belong(thread, machines[$0].creator) }) { return own }
        return candidates.filter { machines[$0].creator <= thread }
            .max { machines[$0].creator < machines[$1].creator }
    }
}

struct VCPURegistry {
    private struct VCPU {
        var creator: ThreadID
        var machine: Int
        var hasRun = false
    }

    private var vcpus: [Int32: [VCPU]] = [:]
    private var inside: [ThreadID: Int?] = [:]
    /// By VM; `nil` is an unknown VM.
    private var presences: [Int?: GuestPresence] = [:]

    mutating func create(descriptor: Int32, thread: ThreadID, machine: Int) {
        var known = vcpus[descriptor] ?? []
        known.removeAll { $0.creator == thread || $0.machine == machine }
        vcpus[descriptor] = known + [VCPU(creator: thread, machine: machine)]
    }

    mutating func enter(_ thread: ThreadID, descriptor: Int32?) {
        leave(thread)
        var machine: Int?
        if let descriptor, let index = find(descriptor, thread) {
            vcpus[descriptor]?[index].hasRun = true
            machine = vcpus[descriptor]?[index].machine
        }
        inside[thread] = .some(machine)
        presences[machine, default: GuestPresence()].inside += 1
        presences[machine, default: GuestPresence()].entries += 1
    }

    /// - Parameter until: the end of a `KVM_RUN` on one line, if it is known.
    mutating func leave(_ thread: ThreadID, until: TraceTime? = nil) {
        guard let machine = inside.removeValue(forKey: thread) else { return }
        presences[machine, default: GuestPresence()].inside -= 1
        if let until, until > presences[machine]?.until ?? TraceTime(rawValue: 0) {
            presences[machine]?.until = until
        }
    }

    func machine(run thread: ThreadID) -> Int? { inside[thread] ?? nil }

    func presence(of machine: Int) -> GuestPresence {
        var presence = presences[machine] ?? GuestPresence()
        let stray = presences[nil] ?? GuestPresence()
        presence.strayEntries = stray.entries
        presence.strayInside = stray.inside
        return presence
    }

    /// Whether the log shows every vCPU of a VM that it shows from its creation.
    func areAllShown(of machine: Int) -> Bool {
        let own = vcpus.values.joined().filter { $0.machine == machine }
        return !own.isEmpty && own.allSatisfy(\.hasRun) && presences[nil] == nil
    }

    /// The vCPU of a descriptor; `nil` if its creation is not in the log.
    private func find(_ descriptor: Int32, _ thread: ThreadID) -> Int? {
        guard let known = vcpus[descriptor] else { return nil }
        let nearest = known.indices.filter { known[$0].creator <= thread }
            .max { known[$0].creator < known[$1].creator }
        return nearest ?? known.indices.last
    }
}
