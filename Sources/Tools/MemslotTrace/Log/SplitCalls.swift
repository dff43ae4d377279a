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
