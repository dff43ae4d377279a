/// One call that changes one slot: the only four things that KVM can do to memory.
///
/// Kernel: `KVM_SET_USER_MEMORY_REGION`; `KVM_MR_CREATE`, `KVM_MR_DELETE`, `KVM_MR_MOVE` and
/// `KVM_MR_FLAGS_ONLY` in virt/kvm/kvm_main.c.
public enum SlotCall: Hashable, Sendable {
    /// Installs a slot whose id is free. Its dirty log starts anew.
    case create(Memslot)
    /// Removes a slot, its dirty log with it.
    case delete(Memslot)
    /// Gives a slot another guest physical address, and perhaps another `log-dirty-pages`.
    /// Its dirty log stays if it logs before and after.
    case move(from: Memslot, to: Memslot)
    /// Switches `log-dirty-pages` on or off.
    case reflag(from: Memslot, to: Memslot)

    /// The slot as it is before the call; `nil` for a creation.
    public var before: Memslot? {
        switch self {
        case .create: nil
        case .delete(let slot): slot
        case .move(let from, _), .reflag(let from, _): from
        }
    }

    /// The slot as it is after the call; `nil` for a deletion.
    public var after: Memslot? {
        switch self {
        case .create(let slot): slot
        case .delete: nil
        case .move(_, let to), .reflag(_, let to): to
        }
    }

    /// What names the slot.
    public var key: SlotKey {
        switch self {
        case .create(let slot), .delete(let slot): slot.assignedKey
        case .move(let from, _), .reflag(let from, _): from.assignedKey
        }
    }

    /// The call that undoes this one.
    public var inverse: SlotCall {
        switch self {
        case .create(let slot): .delete(slot)
        case .delete(let slot): .create(slot)
        case .move(let from, let to): .move(from: to, to: from)
        case .reflag(let from, let to): .reflag(from: to, to: from)
        }
    }

    /// Whether the kernel drops the slot's dirty log with this call, so that it must be read first.
    public var endsLogging: Bool { before?.isLogging == true && after?.isLogging != true }

    /// Whether a guest that runs beside this call may miss memory or lose a dirty bit.
    ///
    /// Creating a slot and switching its log on do not: measured, no exit and no lost bit.
    public var needsQuiescence: Bool {
        switch self {
        case .create: false
        case .delete, .move: true
        case .reflag(_, let to): !to.isLogging
        }
    }
}

/// Which slots are installed, call by call.
struct SlotJournal {
    /// The slots that were installed before the first call.
    let initial: [Memslot]
    /// The calls that succeeded.
    let calls: [SlotCall]

    /// The slots that are installed now, ascending by key.
    var slots: [Memslot] {
        var slots = Dictionary(uniqueKeysWithValues: initial.map { ($0.assignedKey, $0) })
        for call in calls { slots[call.key] = call.after }
        return slots.values.sorted { $0.assignedKey < $1.assignedKey }
    }

    /// The calls by which a log began of a slot that is installed now as it was then.
    var callsThatBeganLogs: [SlotCall] {
        let installed = Set(slots)
        return calls.filter { call in
            guard let slot = call.after, slot.isLogging else { return false }
            return call.before?.isLogging != true && installed.contains(slot)
        }
    }
}

extension MemslotBackend {
    /// Empties the new log of `call`, which undoes another or recovers, if the kernel began it full.
    ///
    /// The table keeps its true bits. If the log can't be emptied it reports too many pages, which
    /// loses nothing.
    func emptyNewLog(of call: SlotCall) {
        guard capabilities.dirtyLogStartsFull, let slot = call.after, slot.isLogging,
            call.before?.isLogging != true
        else { return }
        _ = try? readDirtyLog(of: slot, clear: true)
    }
}
