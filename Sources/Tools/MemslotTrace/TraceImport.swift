package import Memslots

package struct TraceImport: Sendable {
    package var scenario: ImportedScenario
    package var report: ImportReport
    /// What else the record of a run with `--atomic` holds: its commits and their kernel calls.
    package var run: RunRecording?
}

/// Converts an strace log of a VMM to a scenario and a report.
///
/// Pass the log's bytes in chunks of any size, then call ``finish()``. Only slot calls are kept in
/// memory.
package struct TraceImporter {
    package struct Options: Hashable, Sendable {
        /// The longest pause within a transaction of a thread that never enters `KVM_RUN`, in
        /// milliseconds.
        package var gapMilliseconds: UInt64 = 10
        /// The name for the scenario and its VM if the log has none, such as the file's name.
        /// Characters that are invalid in a VM's name become `-`.
        package var name: String = "trace"
        /// Where the scenario is from; by default the kind of the text.
        package var source: String?

        /// Whether a log in which no slot call is decoded is read: for a report without a scenario.
        package var acceptsUndecoded = false

        /// The slots that failed calls met, instead of those that the log shows.
        package var array: [Memslot]?

        /// Whether it is the merged log of several threads, in which a `KVM_RUN` without its
        /// duration may have lasted beyond the lines of other threads that follow.
        package var isMerged = false

        package init() {}

        var gapNanoseconds: UInt64 {
            let (gap, wraps) = gapMilliseconds.multipliedReportingOverflow(by: 1_000_000)
            return wraps ? .max : gap
        }
    }

    private let options: Options
    private var splitter = LineSplitter()
    private var reader = TraceReader()

    package init(options: Options = Options()) {
        self.options = options
        reader.isMerged = options.isMerged
    }

    /// Reads the next bytes of the log, any number of them: lines may continue in the next chunk.
    package mutating func consume(_ bytes: ArraySlice<UInt8>) {
        splitter.split(bytes) { reader.consume(line: $0) }
    }

    package mutating func consume(_ bytes: [UInt8]) { consume(bytes[...]) }

    /// Ends the log.
    ///
    /// - Returns: the scenario and the report.
    /// - Throws: if the log has nothing to import.
    package mutating func finish() throws(TraceError) -> TraceImport {
        let last = splitter.remainder()
        if let last { reader.consume(line: last) }
        reader.log.counts.overlongLines = splitter.overlongLines
        return try TraceAssembly(log: reader.finish(isCut: last != nil), options: options)
            .assemble()
    }
}

/// The reason for which a log can't be imported.
package enum TraceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// None of the log's `lines` lines is of a known kind.
    case noSlotCalls(lines: Int)
    /// None of the log's `count` slot calls has its arguments: strace printed a pointer. The first
    /// is on `line`.
    case undecoded(count: Int, line: Int)

    /// A sentence with the place and the reason, to follow the file's name and a colon.
    package var description: String {
        switch self {
        case .noSlotCalls(let lines):
            "no KVM_SET_USER_MEMORY_REGION call in \(lines) lines. What can be read: a log of "
                + "strace -f -ttt -T -X verbose -e trace=ioctl, the lines of QEMU's event "
                + "kvm_set_user_memory (-trace), QEMU's error lines, a syzkaller program, the text "
                + "of 'info mtree -f', and what memslotctl run --record writes"
        case .undecoded(let count, let line):
            "line \(line): strace printed the argument of a slot call as a pointer, as for all "
                + "\(count) slot calls, so nothing is known of them. No strace decodes "
                + "KVM_SET_USER_MEMORY_REGION2. Record the VMM with: "
                + "memslotctl run --record FILE -- VMM …"
        }
    }
}

/// Splits a stream of bytes into lines, in bounded memory.
///
/// A line longer than ``limit`` is truncated; no slot call is that long.
struct LineSplitter {
    static let limit = 65_536

    private var carried: [UInt8] = []

    private(set) var overlongLines = 0
    private var isOverlong = false

    /// Passes each line that `chunk` completes to `line`, without its end.
    mutating func split(_ chunk: ArraySlice<UInt8>, line: (ArraySlice<UInt8>) -> Void) {
        var rest = chunk
        while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let head = rest[..<end]
            rest = rest[(end + 1)...]
            if carried.isEmpty, head.count <= Self.limit {
                line(head.withoutReturn)
            } else {
                carry(head)
                let whole = carried[...]
                carried = []
                isOverlong = false
                line(whole.withoutReturn)
            }
        }
        carry(rest)
    }

    /// The last line, if the stream does not end with a newline.
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
