import Memslots

/// The kernel's slots of one small address space, by the rules of KVM.md alone. Independent of the
/// planner and of the simulator, so that it can check both.
struct SmallKernel: Hashable {
    /// By id.
    private(set) var slots: [Memslot?]

    init(_ array: [Memslot], ids: Int) {
        slots = Array(repeating: nil, count: ids)
        for slot in array { slots[Int(slot.assignedID.rawValue)] = slot }
    }

    var array: [Memslot] { slots.compactMap { $0 } }

    /// Applies an operation. Returns why the kernel would refuse it or do something else.
    mutating func apply(_ call: SlotCall) -> String? {
        let id = Int(call.key.id.rawValue)
        let old = slots[id]
        guard old == call.before else { return "slot \(id) is not the one that the plan expects" }
        guard let new = call.after else {
            // D1: there is a slot to delete.
            slots[id] = nil
            return nil
        }
        // R16: no other slot may have one of the pages at this time.
        for (other, slot) in slots.enumerated() where other != id {
            guard let slot else { continue }
            if Self.pages(of: slot).overlaps(Self.pages(of: new)) { return "EEXIST with \(other)" }
        }
        if let fault = Self.fault(of: call, old, new) { return fault }
        slots[id] = new
        return nil
    }

    /// Section 2: the kind of the operation, by the present slot.
    private static func fault(of call: SlotCall, _ old: Memslot?, _ new: Memslot) -> String? {
        guard let old else {
            if case .create = call { return nil }
            return "there is no slot to change"
        }
        let isKept =
            old.size == new.size && old.userspaceAddress == new.userspaceAddress
            && old.flags.contains(.readOnly) == new.flags.contains(.readOnly)
            && !old.flags.union(new.flags).contains(.guestMemfd)
        guard isKept else { return "EINVAL: must be deleted and created" }
        let isMove = old.guestPhysicalAddress != new.guestPhysicalAddress
        switch call {
        case .move: return isMove ? nil : "a move to the same address"
        case .reflag:
            if isMove { return "a reflag that moves" }
            return old.flags != new.flags ? nil : "a reflag without a change"
        default: return "the id is in use"
        }
    }

    static func pages(of slot: Memslot) -> Range<UInt64> {
        let first = slot.guestPhysicalAddress.rawValue >> 12
        return first..<first + slot.size.rawValue >> 12
    }
}

/// A VM of a small world: its slots, and dirty logs that are cleared by reading.
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
        for slot in slots where slot.isLogging { logs[Int(slot.assignedID.rawValue)] = 0 }
        state = Locked(State(kernel: SmallKernel(slots, ids: ids), logs: logs))
    }

    var slots: [Memslot] { state.withLock { $0.kernel.array } }

    /// Why operations were refused so far.
    var faults: [String] { state.withLock { $0.faults } }

    /// Makes pages dirty, given as bits.
    func write(_ pages: UInt64, of id: Int) {
        state.withLock { state in state.logs[id] = state.logs[id].map { $0 | pages } }
    }

    func apply(_ call: SlotCall) throws(Errno) {
        let fault = state.withLock { state -> String? in
            let fault = state.kernel.apply(call)
            if let fault {
                state.faults.append(fault)
            } else {
                // An operation keeps the log if the slot logs before and after.
                let id = Int(call.key.id.rawValue)
                let kept = call.before?.isLogging == true ? state.logs[id] : 0
                state.logs[id] = call.after?.isLogging == true ? kept : nil
            }
            return fault
        }
        if fault != nil { throw .invalidArgument }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let id = Int(slot.assignedID.rawValue)
        let bits = state.withLock { state -> UInt64? in
            defer { state.logs[id] = state.logs[id].map { _ in 0 } }
            return state.logs[id]
        }
        guard let bits else { throw .noEntry }
        return DirtyBitmap(pageCount: slot.pageCount, words: [bits])
    }

    func beginTransaction() {}
    func collectDirtyPages() {}
}
