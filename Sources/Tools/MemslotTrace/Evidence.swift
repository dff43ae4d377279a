package import MemslotScenario
import Memslots

package enum Evidence: Sendable {
    case calls(TraceImport)
    case view(FlatViewText)
}

/// Reads a text of any kind that ``Evidence`` has; its first bytes decide.
package struct EvidenceReader {
    /// All but logs are read as a whole.
    private enum Kind { case undecided, log, view, record }

    private var kind = Kind.undecided
    private var importer: TraceImporter
    private var head: [UInt8] = []
    private let options: TraceImporter.Options

    private static let headLength = 1 << 16
    private static let limit = 512 << 20

    package init(options: TraceImporter.Options) {
        self.options = options
        importer = TraceImporter(options: options)
    }

    /// Throws that a text that must be read as a whole is too large.
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
        if ["{", "[{", "[]"].contains(where: { start.starts(with: $0.utf8) }) {
            kind = .record
        } else if FlatViewText.isText(head) {
            kind = .view
        } else {
            kind = .log
            importer.consume(head)
            head = []
        }
    }

    /// Throws the place and the reason for which the text can't be used.
    package mutating func finish() throws(UnusableInput) -> Evidence {
        if kind == .undecided { decide() }
        if kind == .view {
            let view = FlatViewText(String(decoding: head, as: UTF8.self))
            guard !view.isTree else { throw UnusableInput(message: FlatViewText.advice) }
            return .view(view)
        }
        var reader = RecordedCallReader()
        let log = kind == .record ? try reader.read(head) : nil
        do throws(TraceError) {
            guard let log else { return .calls(try importer.finish()) }
            var result = try TraceAssembly(log: log, options: options).assemble()
            result.run = reader.run
            return .calls(result)
        } catch { throw UnusableInput(message: error.description) }
    }
}
