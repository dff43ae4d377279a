/// One of the four kinds of change that KVM knows.
public enum MemslotChange: Hashable, Sendable {
    /// A slot that was not there before.
    case added(Memslot)
    /// A slot that is not there any more.
    case removed(Memslot)
    /// A slot with another guest physical address, and perhaps another `log-dirty-pages`.
    case moved(from: Memslot, to: Memslot)
    /// A slot of which `log-dirty-pages` alone is another.
    case reflagged(from: Memslot, to: Memslot)

    /// What names the slot.
    public var key: SlotKey {
        switch self {
        case .added(let slot), .removed(let slot): slot.assignedKey
        case .moved(let from, _), .reflagged(let from, _): from.assignedKey
        }
    }
}

/// A slot before and after.
public struct MemslotPair: Hashable, Sendable {
    /// The slot as it was.
    public var before: Memslot
    /// The slot as it is to be.
    public var after: Memslot
}
