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
