/// What importing a log gives.
package struct TraceImport: Sendable {
    /// The transactions as whole arrays.
    package var scenario: ImportedScenario
    /// What the log did.
    package var report: ImportReport
}

/// Turns an strace log of a VMM into a scenario and a report.
///
/// Hand it the log's bytes in chunks of any size, then call ``finish()``. It keeps the slot calls
/// and nothing else, so memory grows with those and not with the log.
package struct TraceImporter {
    /// How a log is read.
    package struct Options: Hashable, Sendable {
        /// The longest pause within a transaction of a thread that never enters `KVM_RUN`, in
        /// milliseconds.
        package var gapMilliseconds: UInt64 = 10
        /// The name for the scenario and its VM if the log has none of its own, such as the
        /// file's name. What a VM's name may not hold is replaced by `-`.
        package var name: String = "trace"
        /// What the scenario says it was made of.
        package var source: String = "imported from an strace log"

        /// The defaults.
        package init() {}

        var gapNanoseconds: UInt64 {
            let (gap, wraps) = gapMilliseconds.multipliedReportingOverflow(by: 1_000_000)
            return wraps ? .max : gap
        }
    }

    private let options: Options
    private var splitter = LineSplitter()
    private var reader = TraceReader()

    /// Makes an importer for one log.
    package init(options: Options = Options()) {
        self.options = options
    }

    /// Takes the next bytes of the log.
    ///
    /// - Parameter bytes: any number of them; lines may go on from one chunk to the next.
    /// - Throws: `TraceError.malformed` for a slot call that doesn't read as strace writes it.
    package mutating func consume(_ bytes: ArraySlice<UInt8>) throws(TraceError) {
        try splitter.split(bytes) { line throws(TraceError) in
            try reader.consume(line: line)
        }
    }

    /// Takes the next bytes of the log.
    ///
    /// - Parameter bytes: any number of them; lines may go on from one chunk to the next.
    /// - Throws: `TraceError.malformed` for a slot call that doesn't read as strace writes it.
    package mutating func consume(_ bytes: [UInt8]) throws(TraceError) {
        try consume(bytes[...])
    }

    /// Ends the log.
    ///
    /// - Returns: the scenario and the report.
    /// - Throws: where the log holds nothing to import.
    package mutating func finish() throws(TraceError) -> TraceImport {
        if let last = splitter.remainder() {
            do throws(TraceError) {
                try reader.consume(line: last)
            } catch {
                // The recording ended here; that is no fault of the lines before.
                reader.endedMidCall()
            }
        }
        reader.countOverlong(splitter.overlongLines)
        return try TraceAssembly(log: reader.finish(), options: options).assemble()
    }
}

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

/// Cuts a stream of bytes into lines, in bounded memory.
///
/// A line longer than ``limit`` is cut there; no line that matters is so long.
struct LineSplitter {
    /// The longest line that is kept whole, in bytes.
    static let limit = 65_536

    private var carried: [UInt8] = []

    /// How many lines were cut at the limit.
    private(set) var overlongLines = 0
    private var isOverlong = false

    /// Hands out each line that `chunk` completes, without its end.
    mutating func split<Failure: Error>(
        _ chunk: ArraySlice<UInt8>,
        line: (ArraySlice<UInt8>) throws(Failure) -> Void
    ) throws(Failure) {
        var rest = chunk
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let head = rest[..<end]
            rest = rest[(end + 1)...]
            if carried.isEmpty, head.count <= Self.limit {
                try line(head.withoutReturn)
            } else {
                carry(head)
                let whole = carried[...]
                carried = []
                isOverlong = false
                try line(whole.withoutReturn)
            }
        }
        carry(rest)
    }

    /// The last line, if the stream didn't end with a line's end.
    mutating func remainder() -> ArraySlice<UInt8>? {
        defer { carried = [] }
        return carried.isEmpty ? nil : carried[...].withoutReturn
    }

    private mutating func carry(_ bytes: ArraySlice<UInt8>) {
        let room = Self.limit - carried.count
        carried += bytes.prefix(room)
        if bytes.count > room, !isOverlong {
            isOverlong = true
            overlongLines += 1
        }
    }
}

extension ArraySlice<UInt8> {
    fileprivate var withoutReturn: ArraySlice<UInt8> {
        last == UInt8(ascii: "\r") ? dropLast() : self
    }
}
