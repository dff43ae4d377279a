import MemslotSimulator
import Memslots

/// A simulated VM with its table, and what must hold of every submit to it.
final class PlannedVM {
    /// What armed faults answer, and no rule of the kernel does.
    static let fault = Errno.ioError

    let backend: JudgingBackend
    private let table: MemslotTable

    /// A VM; the bytes choose its limits.
    init?(_ limits: UInt8, _ protection: UInt8) {
        var configuration = SimulatorConfiguration()
        configuration.maxSlots = UInt32(limits % 32) + 1
        configuration.addressSpaces = UInt32(limits >> 5 & 1) + 1
        if limits & 64 != 0 { configuration.flags.insert(.guestMemfd) }
        if limits & 128 != 0 { configuration.flags.remove(.readOnly) }
        let protections: [DirtyLogProtection] = [.automatic, .manual, .manualInitiallySet]
        configuration.dirtyLogProtection = protections[Int(protection) % protections.count]
        guard let simulated = try? SimulatedBackend(configuration: configuration) else {
            return nil
        }
        backend = JudgingBackend(simulated)
        guard let table = try? MemslotTable(backend: backend) else { return nil }
        self.table = table
    }

    /// Submits, and judges what came of it.
    func submit(_ slots: [Memslot]) -> String? {
        let before = table.snapshot()
        let foreseen = try? table.plan(slots)
        backend.begin()
        do throws(SubmitError) {
            let receipt = try table.submit(slots)
            if foreseen?.operations != receipt.operations { return "not what was planned" }
            return backend.broken ?? fault(in: receipt, for: slots, before: before)
        } catch {
            return backend.broken ?? fault(in: error, for: slots, before: before)
        }
    }

    private func fault(
        in receipt: Receipt, for slots: [Memslot], before: TableSnapshot
    ) -> String? {
        let present = table.snapshot()
        if present.array.slots != backend.simulated.installedSlots {
            return "the table and the backend differ after a commit"
        }
        let isChanged = receipt.outcome == .committed
        if present.generation != (isChanged ? before.generation.next : before.generation) {
            return "generation \(present.generation) after \(before.generation)"
        }
        if backend.calls != receipt.operations.map(\.call) {
            return "the calls made are not those of the receipt"
        }
        let diff = receipt.diff
        let least =
            diff.added.count + diff.removed.count + diff.moved.count + diff.reflagged.count
        if receipt.operations.count < least
            || receipt.operations.count > least + 2 * diff.moved.count
        {
            return "\(receipt.operations.count) calls for \(least) changes"
        }
        return faultOfArray(present.array, for: slots)
    }

    /// Whether the array is the one that was asked for, ids picked where there were none.
    private func faultOfArray(_ array: MemslotArray, for slots: [Memslot]) -> String? {
        if array.count != slots.count { return "\(array.count) slots for \(slots.count)" }
        for slot in slots {
            guard let present = array.slot(at: slot.guestPhysicalAddress, in: slot.addressSpace)
            else { return "nothing is where slot \(slot.assignedKey) was wanted" }
            var wanted = slot
            if slot.id == nil { wanted.id = present.id }
            if wanted != present { return "\(present) is there for \(wanted)" }
        }
        return nil
    }

    private func fault(
        in error: SubmitError, for slots: [Memslot], before: TableSnapshot
    ) -> String? {
        switch error {
        case .invalid:
            if !backend.calls.isEmpty { return "calls were made for an invalid array" }
            if isCreatable(slots) { return "a creatable array was refused: \(error.message)" }
            return unchanged(since: before)
        case .rolledBack(let rollback):
            return rollback.errno == Self.fault
                ? unchanged(since: before) : "undone without a fault: \(error.message)"
        case .failed(let failure):
            if failure.installed != backend.simulated.installedSlots {
                return "the failed VM has other slots than were told"
            }
            backend.simulated.clearFaults()
            backend.begin()
            do throws(SubmitError) { try table.recover() } catch {
                return "can't recover: \(error.message)"
            }
            return backend.broken ?? unchanged(since: before)
        case .conflict, .rejected, .quiesceTimeout, .reentrant:
            return "out of place: \(error.message)"
        }
    }

    private func unchanged(since before: TableSnapshot) -> String? {
        let present = table.snapshot()
        if present.array != before.array || present.generation != before.generation {
            return "the table has changed though the submit was refused"
        }
        return present.array.slots == backend.simulated.installedSlots
            ? nil : "the backend has changed though the submit was refused"
    }

    /// Whether a fresh VM takes all slots, one after the other, with ids as they are.
    private func isCreatable(_ slots: [Memslot]) -> Bool {
        let fresh = SimulatedBackend(capabilities: table.capabilities)
        for slot in slots {
            if fresh.installedSlots.contains(where: { $0.key == slot.assignedKey }) { return false }
            do throws(Errno) { try fresh.apply(.create(slot)) } catch { return false }
        }
        return true
    }
}

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

    func apply(_ call: SlotCall) throws(Errno) {
        let counts = simulated.operationCounts
        if simulated.slot(call.key) != call.before { note("\(call) starts from something else") }
        do throws(Errno) {
            try simulated.apply(call)
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
        if simulated.slot(slot.assignedKey) != slot {
            note("the log of \(slot), which is not there")
        }
        return try simulated.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() { simulated.beginTransaction() }

    private func note(_ sentence: String) { broken = broken ?? sentence }

    func collectDirtyPages() {}
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
