import MemslotSimulator
import Memslots

/// A simulated VM with its table, and the checks of every submit.
final class PlannedVM {
    /// The errno of injected faults, which no rule of the kernel returns.
    static let fault = Errno.ioError

    let backend: CheckingBackend
    private let table: MemslotTable

    /// A VM; the bytes choose its limits.
    init?(_ limits: UInt8, _ protection: UInt8) {
        let protections = DirtyLogProtection.allCases
        let profiles = [nil] + HostProfile.allCases
        let profile = profiles[Int(protection) / protections.count % profiles.count]
        var configuration = SimulatorConfiguration(profile: profile)
        configuration.maxSlots = UInt32(limits % 32) + 1
        let spaces = min(UInt32(limits >> 5 & 1) + 1, profile?.mostAddressSpaces ?? 2)
        configuration.addressSpaces = spaces
        let flags = (profile ?? .x86).flags(configuration.kernel)
        if limits & 64 != 0 { configuration.flags.formUnion(flags) }
        if limits & 128 != 0 { configuration.flags.remove(.readOnly) }
        configuration.dirtyLogProtection = protections[Int(protection) % protections.count]
        guard let simulated = try? SimulatedBackend(configuration: configuration) else {
            return nil
        }
        backend = CheckingBackend(simulated)
        guard let table = try? MemslotTable(backend: backend) else { return nil }
        self.table = table
    }

    func submit(_ slots: [Memslot]) -> String? {
        let before = table.snapshot()
        let planned = try? table.plan(slots)
        backend.begin()
        do throws(SubmitError) {
            let receipt = try table.submit(slots)
            if planned?.operations != receipt.operations { return "other operations than planned" }
            return backend.broken ?? fault(in: receipt, for: slots, before: before)
        } catch { return backend.broken ?? fault(in: error, for: slots, before: before) }
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
            return "the applied operations are not those of the receipt"
        }
        let diff = receipt.diff
        let least = diff.added.count + diff.removed.count + diff.moved.count + diff.reflagged.count
        if receipt.operations.count < least
            || receipt.operations.count > least + 2 * diff.moved.count
        {
            return "\(receipt.operations.count) operations for \(least) changes"
        }
        return faultOfArray(present.array, for: slots)
    }

    /// Compares the array with the submitted slots, apart from picked ids.
    private func faultOfArray(_ array: MemslotArray, for slots: [Memslot]) -> String? {
        if array.count != slots.count { return "\(array.count) slots for \(slots.count)" }
        for slot in slots {
            guard let present = array.slot(at: slot.guestPhysicalAddress, in: slot.addressSpace)
            else { return "slot \(slot.assignedKey) is missing" }
            var wanted = slot
            if slot.id == nil { wanted.id = present.id }
            if wanted != present { return "\(present) instead of \(wanted)" }
        }
        return nil
    }

    private func fault(
        in error: SubmitError, for slots: [Memslot], before: TableSnapshot
    ) -> String? {
        switch error {
        case .invalid:
            if !backend.calls.isEmpty { return "operations were applied for an invalid array" }
            if isCreatable(slots) { return "a valid array was refused: \(error.message)" }
            return unchanged(since: before)
        case .rolledBack(let rollback):
            return rollback.errno == Self.fault
                ? unchanged(since: before) : "rolled back without a fault: \(error.message)"
        case .failed(let failure):
            if failure.installed != backend.simulated.installedSlots {
                return "the failed VM has other slots than reported"
            }
            backend.simulated.clearFaults()
            backend.begin()
            do throws(SubmitError) { try table.recover() } catch {
                return "can't recover: \(error.message)"
            }
            return backend.broken ?? unchanged(since: before)
        case .conflict, .rejected, .quiesceTimeout, .reentrant:
            return "unexpected: \(error.message)"
        }
    }

    private func unchanged(since before: TableSnapshot) -> String? {
        let present = table.snapshot()
        if present.array != before.array || present.generation != before.generation {
            return "a refused submit changed the table"
        }
        return present.array.slots == backend.simulated.installedSlots
            ? nil : "a refused submit changed the backend"
    }

    /// Whether a fresh VM accepts all slots one after the other, with their ids.
    private func isCreatable(_ slots: [Memslot]) -> Bool {
        let fresh = SimulatedBackend(capabilities: table.capabilities)
        // s390x accepts such a slot, which maps nothing.
        let granule = table.capabilities.slotGranule
        return slots.allSatisfy { slot in
            slot.guestPhysicalAddress.isMultiple(of: granule)
                && fresh.slot(slot.assignedKey) == nil
                && (try? fresh.apply(.create(slot))) != nil
        }
    }
}

/// The simulator, with a check that every operation does what it claims.
final class CheckingBackend: MemslotBackend {
    let simulated: SimulatedBackend
    // Unsafe: one thread submits at a time and reads these between submits.
    nonisolated(unsafe) private(set) var calls: [SlotCall] = []
    /// The first wrong operation.
    nonisolated(unsafe) private(set) var broken: String?

    init(_ simulated: SimulatedBackend) { self.simulated = simulated }
    var capabilities: Capabilities { simulated.capabilities }
    func begin() { calls = [] }

    func apply(_ call: SlotCall) throws(Errno) {
        let counts = simulated.operationCounts
        if simulated.slot(call.key) != call.before { fail("\(call) expects another slot") }
        do throws(Errno) { try simulated.apply(call) } catch {
            if error != PlannedVM.fault { fail("\(call) is refused with \(error)") }
            throw error
        }
        calls.append(call)
        if simulated.slot(call.key) != call.after { fail("\(call) results in another slot") }
        if !simulated.operationCounts.are(counts, and: call) {
            fail("\(call) is another operation to the kernel")
        }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        if simulated.slot(slot.assignedKey) != slot {
            fail("the log of \(slot), which does not exist")
        }
        return try simulated.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() { simulated.beginTransaction() }
    func collectDirtyPages() {}
    private func fail(_ sentence: String) { broken = broken ?? sentence }
}

extension SimulatedBackend {
    fileprivate func slot(_ key: SlotKey) -> Memslot? { installedSlots.first { $0.key == key } }
}

extension OperationCounts {
    fileprivate func are(_ before: OperationCounts, and call: SlotCall) -> Bool {
        let more = [
            ("create", creates - before.creates), ("delete", deletes - before.deletes),
            ("move", moves - before.moves), ("reflag", reflags - before.reflags),
        ]
        return unchanged == before.unchanged
            && more.allSatisfy { $0.1 == (call.name == $0.0 ? 1 : 0) }
    }
}
