import Memslots

/// Fails by a script, and else forwards. Checks that operations that need quiescence are applied
/// only while vCPUs are held, and replaces the scene's guest_memfds by those of the VM.
final class FaultyBackend: MemslotBackend {
    private struct State {
        var script = FaultScript()
        var calls = 0
        var reads = 0
        var unheldCalls: [SlotCall] = []
        /// Whether the guest could run, for each call.
        var beside: [Bool] = []
    }

    private let backend: any MemslotBackend
    private let hold: ScriptedHold
    private let descriptors: [Int32: Int32]
    private let state = Locked(State())

    /// `descriptors`: the VM's guest_memfds by the descriptors of the scene.
    init(_ backend: any MemslotBackend, hold: ScriptedHold, descriptors: [Int32: Int32]) {
        (self.backend, self.hold, self.descriptors) = (backend, hold, descriptors)
    }

    var capabilities: Capabilities { backend.capabilities }

    /// Replaces the script and resets the counts.
    func arm(_ script: FaultScript) {
        state.withLock { $0 = State(script: script) }
    }

    /// Operations and reads of dirty logs since the transaction began, failed ones included.
    var counts: (calls: Int, reads: Int) { state.withLock { ($0.calls, $0.reads) } }

    /// Whether the guest could run, for each operation since the script was armed.
    var beside: [Bool] { state.withLock { $0.beside } }

    /// Operations that were applied beside the guest and must not be, unless the plan permits it.
    var unheldCalls: [SlotCall] { state.withLock { $0.unheldCalls } }

    func apply(_ call: SlotCall) throws(Errno) {
        let mayRun = hold.guestMayRun
        let errno = state.withLock { state -> Errno? in
            defer { state.calls += 1 }
            state.beside.append(mayRun)
            if call.needsQuiescence && mayRun { state.unheldCalls.append(call) }
            return state.script.calls.errno(of: state.calls)
        }
        if let errno { throw errno }
        try backend.apply(call.renaming(descriptors))
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let errno = state.withLock { state -> Errno? in
            defer { state.reads += 1 }
            return state.script.reads.errno(of: state.reads)
        }
        if let errno { throw errno }
        return try backend.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() {
        state.withLock { ($0.calls, $0.reads) = (0, 0) }
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

    /// Operations.
    var calls = Faults()
    /// Reads of dirty logs.
    var reads = Faults()
}
