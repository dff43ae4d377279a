/// One entry of a document's tape: 8 bytes, whatever the value.
///
/// A container is an opening node, the nodes of what is in it (key, value, key, value …, or the
/// elements), and an end node whose offset is that of the closing bracket.
struct JSONNode {
    /// Where the value begins in the source; of a string, its first byte after the quote.
    var offset: UInt32
    /// Kind in bits 29-31, "has escapes" in bit 28, extent below.
    private var tagged: UInt32

    /// The largest extent, and with it the largest source and the largest tape.
    static let maxExtent = 1 << 28 - 1
    private static let endTag: UInt32 = 7

    /// A value. The extent is a length in bytes, or the index of a container's end node.
    init(_ kind: JSONKind, offset: Int, extent: Int, hasEscapes: Bool = false) {
        self.offset = UInt32(truncatingIfNeeded: offset)
        self.tagged =
            UInt32(kind.rawValue) << 29 | (hasEscapes ? 1 << 28 : 0)
            | UInt32(truncatingIfNeeded: extent)
    }

    /// The end of a container whose closing bracket is at `offset`.
    init(endAt offset: Int) {
        self.offset = UInt32(truncatingIfNeeded: offset)
        self.tagged = Self.endTag << 29
    }

    /// The kind; of an end node, which no value is, `null`.
    @inline(__always)
    var kind: JSONKind { JSONKind(rawValue: UInt8(truncatingIfNeeded: tagged >> 29)) ?? .null }

    @inline(__always)
    var extent: Int {
        get { Int(tagged & (1 << 28 - 1)) }
        set { tagged = tagged & ~(1 << 28 - 1) | UInt32(truncatingIfNeeded: newValue) }
    }

    @inline(__always)
    var hasEscapes: Bool { tagged & (1 << 28) != 0 }

    @inline(__always)
    var isContainer: Bool { tagged >> 29 <= 1 }

    @inline(__always)
    var isObject: Bool { tagged >> 29 == 0 }

    @inline(__always)
    var isString: Bool { tagged >> 29 == 2 }
}
