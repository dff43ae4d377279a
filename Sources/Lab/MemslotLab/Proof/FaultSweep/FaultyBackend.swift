import Memslots

/// Fails by a script, and else forwards. Checks that operations that need quiescence are applied
/// only while vCPUs are held, and replaces the scene's guest_memfds by those of the VM.
// Sendable: one thread submits at a time, and reads the state between submits.
final class FaultyBackend: MemoryAttributeBackend, @unchecked Sendable {
    private let backend: any MemslotBackend
    private let hold: ScriptedHold
    private let descriptors: [Int32: Int32]
    private var script = FaultScript()
    /// Operations, with changes of attributes, and reads of dirty logs since the transaction began,
    /// failed ones included.
    private(set) var calls = 0, reads = 0
    /// Whether the guest could run, for each operation since the script was armed.
    private(set) var beside: [Bool] = []
    /// Operations that were applied beside the guest and must not be, unless the plan permits it.
    private(set) var unheldCalls: [SlotCall] = []

    /// `descriptors`: the VM's guest_memfds by the descriptors of the scene.
    init(_ backend: any MemslotBackend, hold: ScriptedHold, descriptors: [Int32: Int32]) {
        (self.backend, self.hold, self.descriptors) = (backend, hold, descriptors)
    }

    var capabilities: Capabilities { backend.capabilities }

    /// Replaces the script and resets the counts.
    func arm(_ script: FaultScript) {
        self.script = script
        (calls, reads, beside, unheldCalls) = (0, 0, [], [])
    }

    func apply(_ call: SlotCall) throws(Errno) {
        defer { calls += 1 }
        beside.append(hold.guestMayRun)
        if call.needsQuiescence && hold.guestMayRun { unheldCalls.append(call) }
        if let errno = script.calls.errno(of: calls) { throw errno }
        try backend.apply(call.renaming(descriptors))
    }

    func setMemoryAttributes(of range: GuestRange, isPrivate: Bool) throws(Errno) {
        defer { calls += 1 }
        if let errno = script.calls.errno(of: calls) { throw errno }
        // Beside a guest it has no effect, which is found.
        if hold.guestMayRun { return }
        try (backend as? any MemoryAttributeBackend)?
            .setMemoryAttributes(of: range, isPrivate: isPrivate)
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        defer { reads += 1 }
        if let errno = script.reads.errno(of: reads) { throw errno }
        return try backend.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() {
        (calls, reads) = (0, 0)
        backend.beginTransaction()
    }

    func collectDirtyPages() { backend.collectDirtyPages() }
}

/// The calls that fail, and their errnos. Operations and reads of dirty logs are counted
/// separately, from 0 through the undo. A recovery counts from 0 again.
struct FaultScript: Sendable {
    struct Faults: Sendable {
        /// The errnos of those that fail alone, by number.
        var single: [Int: Errno] = [:]
        /// The number from which on all fail.
        var from: (number: Int, errno: Errno)?

        init() {}

        /// Number `number` fails; if `persistently`, all after it too.
        init(_ number: Int, _ errno: Errno, persistently: Bool = false) {
            if persistently { from = (number, errno) } else { single[number] = errno }
        }

        func errno(of number: Int) -> Errno? {
            if let from, number >= from.number { return from.errno }
            return single[number]
        }
    }

    var calls = Faults()
    var reads = Faults()
}
