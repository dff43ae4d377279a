import MemslotScenario
package import Memslots

package struct TraceImport: Sendable {
    package var scenario: ImportedScenario { report.scenario }
    package var report: ImportReport
    /// What else the record of a run with `--atomic` holds: its commits and their kernel calls.
    package var run: RunRecording?
}

/// Converts a log to a scenario and a report, from its bytes in chunks of any size.
package struct TraceImporter {
    package struct Options: Hashable, Sendable {
        /// The longest pause within a transaction of a thread that never enters `KVM_RUN`.
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

        /// Whether threads' logs were merged: a `KVM_RUN` without a duration may have been longer.
        package var isMerged = false

        package init() {}

        var gapNanoseconds: UInt64 {
            let (gap, wraps) = gapMilliseconds.multipliedReportingOverflow(by: 1_000_000)
            return wraps ? .max : gap
        }
    }

    private let options: Options
    private var splitter = LineSplitter(limit: 65_536)
    private var reader = TraceReader()

    package init(options: Options = Options()) {
        self.options = options
        reader.isMerged = options.isMerged
    }

    package mutating func consume(_ bytes: ArraySlice<UInt8>) {
        splitter.add(bytes)
        while let line = splitter.next() { reader.consume(line: line) }
    }

    package mutating func consume(_ bytes: [UInt8]) { consume(bytes[...]) }

    /// Ends the log. Throws if it has nothing to import.
    package mutating func finish() throws(TraceError) -> TraceImport {
        let last = splitter.remainder()
        if let last { reader.consume(line: last) }
        reader.log.counts[.overlongLines] = splitter.overlongLines
        return try TraceAssembly(log: reader.finish(isCut: last != nil), options: options)
            .assemble()
    }
}

package enum TraceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// None of the log's `lines` lines is of a known kind.
    case noSlotCalls(lines: Int)
    /// strace printed the arguments of all `count` slot calls as pointers, first on `line`.
    case undecoded(count: Int, line: Int)

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
