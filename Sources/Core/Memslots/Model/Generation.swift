/// How many transactions a VM's table has committed since it was opened.
///
/// It grows by one with each committed transaction that changed something, and is as before
/// after one that was refused or undone. It is this project's own count, not the kernel's.
public struct Generation: MemslotInteger {
    /// The count.
    public var rawValue: UInt64

    /// Wraps `rawValue`.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The generation after this one.
    public var next: Generation { Generation(rawValue: rawValue + 1) }

    /// The count in decimal.
    public var description: String { String(rawValue) }
}
