/// The number of an array that a VM's table has committed; 0 at first, unless the table was opened
/// with another.
///
/// It grows by one with each committed transaction that changed something. A transaction that was
/// refused or undone leaves it as it was. It is this project's own count, not the kernel's.
public struct Generation: TypedInteger {
    /// The count.
    public var rawValue: UInt64

    /// Creates the generation `rawValue`.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The generation after this one.
    public var next: Generation { Generation(rawValue: rawValue + 1) }
}

/// A table at one generation.
public struct TableSnapshot: Sendable {
    /// The generation.
    public let generation: Generation
    /// The array of that generation.
    public let array: MemslotArray
    /// The guest ranges of address space 0 that are private, ascending and merged. Each access makes a
    /// new list.
    public var privateRanges: [GuestRange] { privateSet.ranges }
    package internal(set) var privateSet = GuestRangeSet()
}
