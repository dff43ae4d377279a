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

/// Finds out which numbered thread the lines without a number belong to.
///
/// On a terminal strace prints `[pid N]` only while there is more than one thread, so the first
/// thread appears both without a number and with one. While that is not settled, and after it,
/// the reader calls it ``ThreadID/unnumbered``.
struct FirstThread {
    private var hasUnnumberedLines = false
    private var attached: Set<ThreadID> = []
    private var vcpus: Set<ThreadID> = []

    /// The number, once it is known.
    private(set) var number: ThreadID?

    mutating func sawAttached(_ thread: ThreadID) {
        attached.insert(thread)
    }

    /// The name under which the reader keeps the thread of a line.
    ///
    /// - Parameter entersGuest: whether the line is a `KVM_RUN`. While strace doesn't say which
    ///   threads it attached to (`-q`), a vCPU's thread is not taken for the first one.
    mutating func canonical(_ thread: ThreadID?, entersGuest: Bool = false) -> ThreadID {
        guard let thread else {
            hasUnnumberedLines = true
            return .unnumbered
        }
        guard hasUnnumberedLines, thread != number else {
            return hasUnnumberedLines ? .unnumbered : thread
        }
        guard !attached.contains(thread), !vcpus.contains(thread) else { return thread }
        if entersGuest, attached.isEmpty {
            vcpus.insert(thread)
            return thread
        }
        guard let known = number else {
            number = thread
            return .unnumbered
        }
        // Threads are numbered upwards, so of two that could be the first the lower one is.
        guard attached.isEmpty, thread < known else { return thread }
        number = thread
        return .unnumbered
    }
}

/// The calls that strace has begun to print and not yet ended, one a thread at most.
struct SplitCalls {
    /// The beginning of a call, and where it stands.
    struct Beginning {
        var body: ArraySlice<UInt8>
        var line: Int
        var column: Int
    }

    private var beginnings: [ThreadID: Beginning] = [:]

    /// Keeps the beginning of a call of `thread`, and hands back one that was never ended.
    mutating func begin(_ beginning: Beginning, thread: ThreadID) -> Beginning? {
        // A copy of its own: a slice would hold the whole chunk that it was cut from.
        var kept = beginning
        kept.body = Array(beginning.body)[...]
        return beginnings.updateValue(kept, forKey: thread)
    }

    /// The beginning of the call that `thread` now ends.
    mutating func end(thread: ThreadID) -> Beginning? {
        beginnings.removeValue(forKey: thread)
    }

    /// What is left when the log ends.
    var remaining: [Beginning] { Array(beginnings.values) }
}
