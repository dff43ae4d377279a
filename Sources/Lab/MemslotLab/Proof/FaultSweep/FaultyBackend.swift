package import Memslots

/// A backend that fails by a script and forwards everything else to another backend.
///
/// It also checks that operations that need quiescence are applied only while vCPUs are held.
package final class FaultyBackend: MemslotBackend {
    private struct State {
        var script = FaultScript()
        var calls = 0
        var reads = 0
        var unheldCalls: [SlotCall] = []
    }

    private let backend: any MemslotBackend
    private let hold: ScriptedHold
    private let state = Locked(State())

    /// Wraps `backend`; `hold` knows whether vCPUs are held.
    package init(_ backend: any MemslotBackend, hold: ScriptedHold) {
        self.backend = backend
        self.hold = hold
    }

    package var capabilities: Capabilities { backend.capabilities }

    /// Replaces the script and resets the counts.
    package func arm(_ script: FaultScript) {
        state.withLock { $0 = State(script: script) }
    }

    /// Operations and reads of dirty logs since the transaction began, failed ones included.
    package var counts: (calls: Int, reads: Int) { state.withLock { ($0.calls, $0.reads) } }

    /// Operations that were applied beside the guest and must not be.
    package var unheldCalls: [SlotCall] { state.withLock { $0.unheldCalls } }

    package func apply(_ call: SlotCall) throws(Errno) {
        let mayRun = hold.guestMayRun
        let errno = state.withLock { state -> Errno? in
            defer { state.calls += 1 }
            if call.needsQuiescence && mayRun { state.unheldCalls.append(call) }
            return state.script.errno(ofCall: state.calls)
        }
        if let errno { throw errno }
        try backend.apply(call)
    }

    package func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let errno = state.withLock { state -> Errno? in
            defer { state.reads += 1 }
            return state.script.errno(ofRead: state.reads)
        }
        if let errno { throw errno }
        return try backend.readDirtyLog(of: slot, clear: clear)
    }

    package func beginTransaction() {
        state.withLock { ($0.calls, $0.reads) = (0, 0) }
        backend.beginTransaction()
    }

    package func collectDirtyPages() { backend.collectDirtyPages() }
}

/// The calls of a transaction that fail, and their errnos.
///
/// Operations and reads of dirty logs are counted separately, from 0 through the undo. A recovery
/// counts from 0 again.
package struct FaultScript: Sendable {
    /// Operations that fail, by number.
    package var calls: [Int: Errno] = [:]
    /// The operation from which on all fail.
    package var callsFrom: (number: Int, errno: Errno)?
    /// Reads of dirty logs that fail, by number.
    package var reads: [Int: Errno] = [:]
    /// The read from which on all fail.
    package var readsFrom: (number: Int, errno: Errno)?

    package init() {}

    package init(call: Int, _ errno: Errno) { calls[call] = errno }

    func errno(ofCall number: Int) -> Errno? {
        if let from = callsFrom, number >= from.number { return from.errno }
        return calls[number]
    }

    func errno(ofRead number: Int) -> Errno? {
        if let from = readsFrom, number >= from.number { return from.errno }
        return reads[number]
    }
}
