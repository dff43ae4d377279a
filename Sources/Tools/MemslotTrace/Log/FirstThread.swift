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
