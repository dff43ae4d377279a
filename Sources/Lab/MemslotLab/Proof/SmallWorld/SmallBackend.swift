import Memslots

/// A VM of a small world: its slots, and a dirty bit a page of each that logs, cleared by reading.
final class SmallBackend: MemslotBackend {
    private struct State {
        var kernel: SmallKernel
        var logs: [UInt64?]
        var faults: [String] = []
    }

    let capabilities = Capabilities()
    private let state: Locked<State>

    init(_ slots: [Memslot], ids: Int) {
        var logs = [UInt64?](repeating: nil, count: ids)
        for slot in slots where slot.isLogging { logs[Int(slot.id.rawValue)] = 0 }
        state = Locked(State(kernel: SmallKernel(slots, ids: ids), logs: logs))
    }

    var slots: [Memslot] { state.withLock { $0.kernel.array } }

    /// Why calls were refused, so far.
    var faults: [String] { state.withLock { $0.faults } }

    /// Makes pages dirty, a bit each.
    func write(_ pages: UInt64, of id: Int) {
        state.withLock { state in state.logs[id] = state.logs[id].map { $0 | pages } }
    }

    func carryOut(_ call: SlotCall) throws(Errno) {
        let fault = state.withLock { state -> String? in
            let fault = state.kernel.carryOut(call)
            if let fault {
                state.faults.append(fault)
            } else {
                // Kept by a change in which the slot logs before and after, else gone or new.
                let id = Int(call.key.id.rawValue)
                let kept = call.before?.isLogging == true ? state.logs[id] : 0
                state.logs[id] = call.after?.isLogging == true ? kept : nil
            }
            return fault
        }
        if fault != nil { throw .invalidArgument }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let id = Int(slot.id.rawValue)
        let bits = state.withLock { state -> UInt64? in
            let bits = state.logs[id]
            if bits != nil { state.logs[id] = 0 }
            return bits
        }
        guard let bits else { throw .noEntry }
        return DirtyBitmap(pageCount: slot.pageCount, words: [bits])
    }
}
