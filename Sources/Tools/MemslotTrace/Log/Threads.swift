import Memslots

/// The kernel's number of a traced thread, as strace prints it.
package struct ThreadID: TypedInteger {
    package var rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The first thread of a log whose lines have no number while there is only one thread.
    package static let unnumbered = ThreadID(rawValue: 0)

    /// The number in decimal, or `-` for ``unnumbered``.
    package var description: String { self == .unnumbered ? "-" : String(rawValue) }
}

/// Finds the thread of the lines without a number.
///
/// On a terminal strace prints `[pid N]` only while there are several threads, so the first thread
/// appears both without and with a number. The reader always calls it ``ThreadID/unnumbered``.
struct FirstThread {
    private var hasUnnumberedLines = false
    private var attached: Set<ThreadID> = []
    private var vcpus: Set<ThreadID> = []

    private(set) var number: ThreadID?

    mutating func sawAttached(_ thread: ThreadID) { attached.insert(thread) }

    /// The reader's id of a line's thread. If strace does not print which threads it attached to
    /// (`-q`), one that enters the guest is not assumed to be the first.
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
        // Thread numbers ascend, so the lower of two candidates is the first thread.
        if let number, !attached.isEmpty || thread >= number { return thread }
        number = thread
        return .unnumbered
    }
}
