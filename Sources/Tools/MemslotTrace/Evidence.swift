package import MemslotScenario
import Memslots

/// What a text shows of a VM's memory.
package enum Evidence: Sendable {
    /// Calls: a log, a program, a record of `memslotctl run`, or a scenario's arrays.
    case calls(TraceImport)
    /// The intended memory.
    case view(FlatViewText)
}

/// Reads a text of any kind that ``Evidence`` has; its first bytes decide.
package struct EvidenceReader {
    private enum Kind {
        case undecided, log
        /// A text that is read as a whole.
        case view
        case record
    }

    private var kind = Kind.undecided
    private var importer: TraceImporter
    private var head: [UInt8] = []
    private let options: TraceImporter.Options

    /// The bytes that decide.
    private static let headLength = 1 << 16
    /// The most bytes of a text that is read as a whole: 512 MiB.
    private static let limit = 512 << 20

    package init(options: TraceImporter.Options) {
        self.options = options
        importer = TraceImporter(options: options)
    }

    /// - Throws: that a text that must be read as a whole is too large.
    package mutating func consume(_ bytes: ArraySlice<UInt8>) throws(UnusableInput) {
        if kind == .log { return importer.consume(bytes) }
        guard head.count + bytes.count <= Self.limit else {
            throw UnusableInput(message: "expected at most \(Self.limit) bytes of such a text")
        }
        head += bytes
        if kind == .undecided, head.count >= Self.headLength { decide() }
    }

    private mutating func decide() {
        let start = Array(head.lazy.filter { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }.prefix(2))
        // strace's lines may begin with `[pid`.
        if start.first == UInt8(ascii: "{") || start == Array("[{".utf8)
            || start == Array("[]".utf8)
        {
            kind = .record
        } else if FlatViewText.isText(head) {
            kind = .view
        } else {
            kind = .log
            importer.consume(head)
            head = []
        }
    }

    /// - Throws: the place and the reason for which it can't be used.
    package mutating func finish() throws(UnusableInput) -> Evidence {
        if kind == .undecided { decide() }
        switch kind {
        case .view:
            let view = FlatViewText(String(decoding: head, as: UTF8.self))
            guard !view.isTree else { throw UnusableInput(message: FlatViewText.advice) }
            return .view(view)
        case .record:
            var reader = RecordedCallReader()
            let log = try reader.read(head)
            var result = try converting(
                { (error: TraceError) in UnusableInput(message: error.description) },
                TraceAssembly(log: log, options: options).assemble())
            result.run = reader.run
            return .calls(result)
        default:
            return .calls(
                try converting(
                    { (error: TraceError) in UnusableInput(message: error.description) },
                    importer.finish()))
        }
    }
}
