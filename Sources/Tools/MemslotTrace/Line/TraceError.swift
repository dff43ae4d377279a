/// Why a log can't be imported.
package enum TraceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A line that has to do with memory slots doesn't read as strace writes it.
    /// `line` and `column` count from 1, columns in bytes; `expected` says what should stand there.
    case malformed(line: Int, column: Int, expected: String)
    /// The log holds no slot call at all, of `lines` lines.
    case noSlotCalls(lines: Int)
    /// The log holds slot calls, but none that succeeded: `failed` of them did not, `unfinished`
    /// never returned.
    case noSuccessfulSlotCalls(failed: Int, unfinished: Int)
    /// Not one of the log's `count` slot calls has its arguments: strace printed a pointer. The
    /// first stands on `line`.
    case undecoded(count: Int, line: Int)

    /// The lower-case name of the case.
    package var kind: String {
        switch self {
        case .malformed: "malformed"
        case .noSlotCalls: "no-slot-calls"
        case .noSuccessfulSlotCalls: "no-successful-slot-calls"
        case .undecoded: "undecoded"
        }
    }

    /// A sentence that says what and where, to follow the file's name and a colon.
    package var description: String {
        switch self {
        case .malformed(let line, let column, let expected):
            "line \(line), column \(column): expected \(expected)"
        case .noSlotCalls(let lines):
            "no KVM_SET_USER_MEMORY_REGION call in \(lines) lines; "
                + "was it recorded with strace -f -ttt -X verbose -e trace=ioctl?"
        case .noSuccessfulSlotCalls(let failed, let unfinished):
            "no KVM_SET_USER_MEMORY_REGION call succeeded (\(failed) failed, "
                + "\(unfinished) never returned)"
        case .undecoded(let count, let line):
            "line \(line): strace printed the argument of a slot call as a pointer, so that "
                + "what it did can't be told; so it is for all \(count) of them "
                + "(KVM_SET_USER_MEMORY_REGION2 needs a newer strace)"
        }
    }
}
