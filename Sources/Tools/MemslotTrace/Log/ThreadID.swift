/// The kernel's number of a traced thread, as strace prints it.
package struct ThreadID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number.
    package var rawValue: UInt32

    /// Wraps `rawValue`.
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The first thread of a log whose lines carry no number: strace on a terminal leaves it out
    /// while there is but one thread.
    package static let unnumbered = ThreadID(rawValue: 0)

    /// Orders by number.
    package static func < (left: ThreadID, right: ThreadID) -> Bool {
        left.rawValue < right.rawValue
    }

    /// The number in decimal, or `-` for ``unnumbered``.
    package var description: String { self == .unnumbered ? "-" : String(rawValue) }
}
