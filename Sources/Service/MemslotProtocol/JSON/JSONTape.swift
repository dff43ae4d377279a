/// The memory of a document's nodes. Its owner must deallocate it.
struct JSONTape {
    // A pointer and not an array: appending to an array checks at every node that it is unique.
    private(set) var base: UnsafeMutablePointer<JSONNode>
    private(set) var count = 0
    private var capacity: Int

    /// Allocates room for the nodes of a usual request of `byteCount` bytes.
    init(forBytes byteCount: Int) {
        capacity = byteCount / 8 + 16
        base = UnsafeMutablePointer.allocate(capacity: capacity)
    }

    init(scanning bytes: [UInt8], in range: Range<Int>, depthLimit: Int) throws(JSONFault) {
        guard range.count < JSONNode.maxExtent, range.upperBound < UInt32.max else {
            throw JSONFault(
                problem: .tooLarge(limit: JSONNode.maxExtent - 1), offset: range.lowerBound)
        }
        var tape = JSONTape(forBytes: range.count)
        // Returned and not thrown, because the array's closure would erase the error's type.
        let fault = bytes.withUnsafeBufferPointer { buffer -> JSONFault? in
            guard let base = buffer.baseAddress else {
                return JSONFault(problem: .empty, offset: range.lowerBound)
            }
            var scanner = JSONScanner(
                base: base, at: range.lowerBound, end: range.upperBound, tape: tape,
                depthLimit: depthLimit)
            var fault: JSONFault?
            do throws(JSONFault) { try scanner.scan() } catch { fault = error }
            tape = scanner.tape
            return fault
        }
        if let fault {
            tape.deallocate()
            throw fault
        }
        self = tape
    }

    @inline(__always)
    mutating func append(_ node: JSONNode) {
        if count == capacity { grow() }
        base[count] = node
        count += 1
    }

    @inline(__always)
    mutating func setExtent(_ extent: Int, at index: Int) { base[index].extent = extent }
    func deallocate() { base.deallocate() }

    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<JSONNode>.allocate(capacity: capacity * 2)
        larger.update(from: base, count: count)
        base.deallocate()
        base = larger
        capacity *= 2
    }
}

/// One entry of a document's tape: 8 bytes for any value.
///
/// A container consists of an opening node, the nodes of its content (key, value, key, value …, or
/// the elements), and an end node with the offset of the closing bracket.
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

    /// The kind; `null` for an end node, which is no value.
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
