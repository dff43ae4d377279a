package import Memslots

/// A backend that fails where a script says so, and hands all else on to another.
///
/// It also holds the engine to its word: a call that a running guest must not see comes only while
/// vCPUs are held out.
package final class FaultyBackend: MemslotBackend {
    private struct State {
        var script = FaultScript()
        var calls = 0
        var reads = 0
        var refusedAnything = false
        var trespasses: [SlotCall] = []
    }

    private let backend: any MemslotBackend
    private let hold: ScriptedHold
    private let state = Locked(State())

    /// Wraps `backend`; `hold` tells whether vCPUs are out.
    package init(_ backend: any MemslotBackend, hold: ScriptedHold) {
        self.backend = backend
        self.hold = hold
    }

    package var capabilities: Capabilities { backend.capabilities }

    /// Sets what fails from now on.
    package func play(_ script: FaultScript) {
        state.withLock { $0 = State(script: script) }
    }

    /// Slot calls and readings since the transaction began, those that failed too.
    package var counts: (calls: Int, reads: Int) { state.withLock { ($0.calls, $0.reads) } }

    /// Calls that came beside the guest and must not.
    package var trespasses: [SlotCall] { state.withLock { $0.trespasses } }

    package func apply(_ call: SlotCall) throws(Errno) {
        let mayRun = hold.guestMayRun
        let errno = state.withLock { state -> Errno? in
            defer { state.calls += 1 }
            if call.needsQuiescence && mayRun { state.trespasses.append(call) }
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

/// Which calls of a transaction are to fail, and with what.
///
/// Slot calls and readings of dirty logs are counted apart, from 0 on through the undo. A recovery
/// counts from 0 again.
package struct FaultScript: Sendable {
    /// Slot calls that fail, by their number.
    package var calls: [Int: Errno] = [:]
    /// From this slot call on all fail.
    package var callsFrom: (number: Int, errno: Errno)?
    /// Readings of dirty logs that fail, by their number.
    package var reads: [Int: Errno] = [:]
    /// From this reading on all fail.
    package var readsFrom: (number: Int, errno: Errno)?

    /// A script in which nothing fails.
    package init() {}

    /// One slot call that fails.
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
