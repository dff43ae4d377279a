import MemslotLab
import MemslotSimulator
import Memslots

/// A backend with one fault.
final class BrokenBackend: MemoryAttributeBackend {
    enum Fault {
        /// Dirty logs are empty.
        case losesDirtyBits
        /// Each log reports its first page as dirty.
        case inventsDirtyBits
        /// Deletes have no effect.
        case skipsDeletions
        /// Reflags have no effect.
        case skipsReflags
        /// Slots are moved to a wrong address.
        case misplacesMoves
        /// Guest ranges never become shared.
        case skipsSharing
    }

    let capabilities: Capabilities
    private let simulator: SimulatedBackend
    private let fault: Fault

    init(_ simulator: SimulatedBackend, _ fault: Fault) {
        (self.simulator, self.fault) = (simulator, fault)
        capabilities = simulator.capabilities
    }

    func apply(_ call: SlotCall) throws(Errno) {
        switch (fault, call) {
        case (.skipsDeletions, .delete), (.skipsReflags, .reflag): return
        case (.misplacesMoves, .move(let from, var to)):
            to.guestPhysicalAddress = GuestPhysicalAddress(
                to.guestPhysicalAddress.rawValue + 0x100_0000)
            try simulator.apply(.move(from: from, to: to))
        default: try simulator.apply(call)
        }
    }

    func setMemoryAttributes(of range: GuestRange, isPrivate: Bool) throws(Errno) {
        if fault == .skipsSharing && !isPrivate { return }
        try simulator.setMemoryAttributes(of: range, isPrivate: isPrivate)
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        var bitmap = try simulator.readDirtyLog(of: slot, clear: clear)
        switch fault {
        case .losesDirtyBits: bitmap = DirtyBitmap(pageCount: slot.pageCount)
        case .inventsDirtyBits: bitmap.insert(0..<1)
        default: break
        }
        return bitmap
    }

    func beginTransaction() { simulator.beginTransaction() }

    func collectDirtyPages() {}
}

/// A hold with one fault.
final class BrokenHold: VCPUHold {
    enum Fault {
        /// Reports vCPUs as held at once.
        case doesNotWait
        /// As ``doesNotWait``, and without the barrier.
        case doesNotHold
        /// Releases vCPUs before the operations.
        case opensEarly
        /// Never releases vCPUs.
        case staysClosed
        /// Reports wrong names.
        case namesNobody
    }

    private let gate: VCPUGate
    private let fault: Fault

    init(_ gate: VCPUGate, _ fault: Fault) { (self.gate, self.fault) = (gate, fault) }

    func beginHolding() { gate.beginHolding() }

    func waitUntilHeld(by deadline: Deadline) -> [String] {
        switch fault {
        case .doesNotWait, .doesNotHold: []
        case .namesNobody: gate.waitUntilHeld(by: deadline).map { _ in "somebody" }
        default: gate.waitUntilHeld(by: deadline)
        }
    }

    func exclusively(_ body: () -> Void) {
        switch fault {
        case .doesNotHold: body()
        case .opensEarly:
            gate.endHolding()
            body()
        default: gate.exclusively(body)
        }
    }

    func endHolding() {
        if fault != .staysClosed { gate.endHolding() }
    }
}

/// A hook whose calls have one fault.
final class BrokenHook: MemslotHook {
    enum Fault {
        case noFinish
        case noAbort
        case commitTwice
        case finishForAbort
    }

    private let inner: any MemslotHook
    private let fault: Fault

    init(_ inner: any MemslotHook, _ fault: Fault) { (self.inner, self.fault) = (inner, fault) }

    var name: String { inner.name }
    var needsQuiescence: Bool { inner.needsQuiescence }

    func prepare(_ change: MemslotChange) throws(HookVeto) { try inner.prepare(change) }

    func commit(_ change: MemslotChange) {
        inner.commit(change)
        if fault == .commitTwice { inner.commit(change) }
    }

    func finish(_ change: MemslotChange) {
        if fault != .noFinish { inner.finish(change) }
    }

    func abort(_ change: MemslotChange) {
        switch fault {
        case .noAbort: return
        case .finishForAbort: inner.finish(change)
        default: inner.abort(change)
        }
    }
}

/// An observer that is not told everything, or whose veto is dropped.
final class BrokenObserver: TransactionHook {
    enum Fault: CaseIterable {
        case noFinish
        case noAbort
        case noVeto
        case lacksSlot
    }

    private let inner: any TransactionHook
    private let fault: Fault

    init(_ inner: any TransactionHook, _ fault: Fault) { (self.inner, self.fault) = (inner, fault) }

    var name: String { inner.name }

    func begin(with snapshot: TableSnapshot) throws(HookVeto) { try inner.begin(with: snapshot) }

    func prepare(_ changes: TransactionChanges) throws(HookVeto) {
        do throws(HookVeto) { try inner.prepare(seen(changes)) } catch {
            if fault != .noVeto { throw error }
        }
    }

    func commit(_ changes: TransactionChanges) { inner.commit(seen(changes)) }

    func finish(_ changes: TransactionChanges) {
        if fault != .noFinish { inner.finish(seen(changes)) }
    }

    func abort(_ changes: TransactionChanges) {
        if fault != .noAbort { inner.abort(seen(changes)) }
    }

    func dirtyPages() -> [DirtyPages] { inner.dirtyPages() }

    private func seen(_ changes: TransactionChanges) -> TransactionChanges {
        guard fault == .lacksSlot else { return changes }
        return TransactionChanges(
            changes: changes.changes, before: changes.before, after: changes.after.dropLast(),
            deadline: changes.deadline)
    }
}
