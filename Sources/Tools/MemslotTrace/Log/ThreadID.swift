/// The kernel's number of a traced thread, as strace prints it.
public struct ThreadID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number.
    public var rawValue: UInt32

    /// Wraps `rawValue`.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The first thread of a log whose lines carry no number: strace on a terminal leaves it out
    /// while there is but one thread.
    public static let unnumbered = ThreadID(rawValue: 0)

    /// Orders by number.
    public static func < (left: ThreadID, right: ThreadID) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The number in decimal, or `-` for ``unnumbered``.
    public var description: String { self == .unnumbered ? "-" : String(rawValue) }
}
