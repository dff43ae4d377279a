/// A JSON text, parsed strictly into a flat tape.
///
/// Reading makes no strings and no numbers: a value is a place in the source. Immutable, so any
/// number of threads may read it; ``JSONValue`` keeps it alive.
///
/// Cost: one pass, 8 bytes a value. Strict: RFC 8259, UTF-8 without overlong forms or
/// surrogates, no byte order mark.
package final class JSONDocument: @unchecked Sendable {
    // Unchecked, because of `nodes`: nothing is written through it after `init`.

    /// The source. The document is a part of it, see ``init(parsing:in:depthLimit:)``.
    package let bytes: [UInt8]
    let nodes: UnsafePointer<JSONNode>
    private let tape: JSONTape

    /// Parses one document, which is `range` of `bytes`, all of it by default. `bytes` is retained
    /// and not copied. Throws the first fault, with its line and column within `range`.
    package init(
        parsing bytes: [UInt8], in range: Range<Int>? = nil, depthLimit: Int = 64
    ) throws(JSONError) {
        let range = (range ?? 0..<bytes.count).clamped(to: 0..<bytes.count)
        do { tape = try JSONTape(scanning: bytes, in: range, depthLimit: depthLimit) } catch {
            let position = SourcePosition(of: error.offset, in: bytes, from: range.lowerBound)
            throw JSONError(
                problem: error.problem, offset: error.offset - range.lowerBound,
                line: position.line, column: position.column)
        }
        (self.bytes, self.nodes, self.start) = (bytes, UnsafePointer(tape.base), range.lowerBound)
    }

    package convenience init(parsing text: String, depthLimit: Int = 64) throws(JSONError) {
        try self.init(parsing: Array(text.utf8), depthLimit: depthLimit)
    }

    deinit { tape.deallocate() }

    private let start: Int

    package var root: JSONValue { JSONValue(document: self, node: 0) }

    /// The line and column of byte `offset` of the source. Cost: a walk from the beginning.
    func position(of offset: Int) -> SourcePosition {
        SourcePosition(of: offset, in: bytes, from: start)
    }

    /// The index of the node after the value at `node`.
    @inline(__always)
    func next(after node: Int) -> Int {
        let entry = nodes[node]
        return entry.isContainer ? entry.extent + 1 : node + 1
    }

    /// The part of the source that is the value at `node`, quotes included.
    func sourceRange(of node: Int) -> Range<Int> {
        let entry = nodes[node]
        let offset = Int(entry.offset)
        switch entry.kind {
        case .object, .array: return offset..<Int(nodes[entry.extent].offset) + 1
        case .string: return offset - 1..<offset + entry.extent + 1
        default: return offset..<offset + entry.extent
        }
    }
}

/// A place in a text, as an editor shows it.
package struct SourcePosition: Hashable, Sendable {
    /// The line, from 1.
    package var line: Int
    /// The column in characters (Unicode scalars), from 1.
    package var column: Int

    package init(line: Int, column: Int) { (self.line, self.column) = (line, column) }

    /// Counts from `start` to `offset`. A byte that continues a UTF-8 sequence is no column.
    init(of offset: Int, in bytes: [UInt8], from start: Int) {
        (line, column) = (1, 1)
        for byte in bytes[start..<min(max(offset, start), bytes.count)] {
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
    }
}
