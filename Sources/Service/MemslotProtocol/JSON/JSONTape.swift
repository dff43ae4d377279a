/// The memory that a document's nodes stand in. It must be deallocated by who holds it.
struct JSONTape {
    // A pointer and not an array: appending to an array checks for uniqueness at every node.
    private(set) var base: UnsafeMutablePointer<JSONNode>
    private(set) var count = 0
    private var capacity: Int

    /// Makes room for the nodes of a text of `byteCount` bytes as requests usually are.
    init(forBytes byteCount: Int) {
        capacity = byteCount / 8 + 16
        base = UnsafeMutablePointer.allocate(capacity: capacity)
    }

    /// Reads a document.
    init(
        scanning bytes: [UInt8], in range: Range<Int>, depthLimit: Int
    ) throws(JSONFault) {
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

    /// Appends `node`.
    @inline(__always)
    mutating func append(_ node: JSONNode) {
        if count == capacity { grow() }
        base[count] = node
        count += 1
    }

    /// Sets the extent of the node at `index`.
    @inline(__always)
    mutating func setExtent(_ extent: Int, at index: Int) { base[index].extent = extent }

    /// Gives the memory back.
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
