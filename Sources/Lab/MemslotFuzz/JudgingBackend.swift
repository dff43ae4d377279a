import MemslotSimulator
import Memslots

/// The simulator, with every call held against what it claims to be.
final class JudgingBackend: MemslotBackend {
    let simulated: SimulatedBackend
    // One thread submits at a time, and looks between submits.
    nonisolated(unsafe) private(set) var calls: [SlotCall] = []
    /// The first call that was not what it claims to be.
    nonisolated(unsafe) private(set) var broken: String?

    init(_ simulated: SimulatedBackend) { self.simulated = simulated }

    var capabilities: Capabilities { simulated.capabilities }

    /// Forgets the calls so far.
    func begin() { calls = [] }

    func carryOut(_ call: SlotCall) throws(Errno) {
        let counts = simulated.operationCounts
        if simulated.slot(call.key) != call.before { note("\(call) starts from something else") }
        do throws(Errno) {
            try simulated.carryOut(call)
        } catch {
            if error != PlannedVM.fault { note("\(call) is refused with \(error)") }
            throw error
        }
        calls.append(call)
        if simulated.slot(call.key) != call.after { note("\(call) ends at something else") }
        if !simulated.operationCounts.are(counts, and: call) {
            note("\(call) is something else to the kernel")
        }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        if simulated.slot(slot.key) != slot { note("the log of \(slot), which is not there") }
        return try simulated.readDirtyLog(of: slot, clear: clear)
    }

    func transactionBegins() { simulated.transactionBegins() }

    private func note(_ sentence: String) { broken = broken ?? sentence }
}

extension SimulatedBackend {
    fileprivate func slot(_ key: SlotKey) -> Memslot? {
        installedSlots.first { $0.key == key }
    }
}

extension OperationCounts {
    /// Whether these are `before`, and one such call more.
    fileprivate func are(_ before: OperationCounts, and call: SlotCall) -> Bool {
        var more: [UInt64] = [0, 0, 0, 0]
        switch call {
        case .create: more[0] = 1
        case .delete: more[1] = 1
        case .move: more[2] = 1
        case .reflag: more[3] = 1
        }
        let differences = [
            creates - before.creates, deletes - before.deletes, moves - before.moves,
            reflags - before.reflags,
        ]
        return differences == more && unchanged == before.unchanged
    }
}
