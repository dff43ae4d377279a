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
        for case (let other, let slot?) in slots.enumerated() where other != id {
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
// Sendable: one thread submits, and reads the state between submits.
final class SmallBackend: MemslotBackend, @unchecked Sendable {
    let capabilities = Capabilities()
    private var kernel: SmallKernel
    private var logs: [UInt64?]
    /// Why operations were refused so far.
    private(set) var faults: [String] = []

    init(_ slots: [Memslot], ids: Int) {
        kernel = SmallKernel(slots, ids: ids)
        logs = kernel.slots.map { $0?.isLogging == true ? 0 : nil }
    }

    var slots: [Memslot] { kernel.array }

    /// Makes pages dirty, given as bits.
    func write(_ pages: UInt64, of id: Int) { logs[id] = logs[id].map { $0 | pages } }

    func apply(_ call: SlotCall) throws(Errno) {
        if let fault = kernel.apply(call) {
            faults.append(fault)
            throw .invalidArgument
        }
        // An operation keeps the log if the slot logs before and after.
        let id = Int(call.key.id.rawValue)
        let kept = call.before?.isLogging == true ? logs[id] : 0
        logs[id] = call.after?.isLogging == true ? kept : nil
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let id = Int(slot.assignedID.rawValue)
        guard let bits = logs[id] else { throw .noEntry }
        logs[id] = 0
        return DirtyBitmap(pageCount: slot.pageCount, words: [bits])
    }

    func beginTransaction() {}
    func collectDirtyPages() {}
}
