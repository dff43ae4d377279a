/// Writes JSON text into bytes, compactly, members in the order written.
///
/// The writer adds commas. The caller closes brackets, and writes names and values in turn.
package struct JSONWriter: Sendable {
    /// The text, and room after it. Filling room is several times faster than appending to an
    /// array, which checks its capacity for every piece.
    private var room: [UInt8] = []
    package private(set) var count = 0
    private var needsComma = false

    package init() {}

    package init(capacity: Int) { reserve(capacity) }

    /// How many bytes the text may have without more memory.
    package var capacity: Int { room.count }

    /// Makes room for `more` bytes, so that a text of about known length is not moved.
    package mutating func reserve(_ more: Int) {
        if room.count - count < more { enlarge(to: count + more) }
    }

    /// The text so far. Cost: a copy; ``finish()`` has none.
    package var bytes: [UInt8] { Array(room[..<count]) }

    /// Calls `body` with the text so far, which must not be kept.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        room.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    /// Removes the text and returns it. Nothing else has a reference to it then, which would cost a copy.
    package mutating func finish() -> [UInt8] {
        var text: [UInt8] = []
        swap(&text, &room)
        text.removeLast(text.count - count)
        removeAll()
        return text
    }

    /// Removes the text, but keeps the room.
    package mutating func removeAll() {
        count = 0
        needsComma = false
    }

    package mutating func beginObject() { begin(UInt8(ascii: "{")) }
    package mutating func endObject() { end(UInt8(ascii: "}")) }
    package mutating func beginArray() { begin(UInt8(ascii: "[")) }
    package mutating func endArray() { end(UInt8(ascii: "]")) }

    /// Writes a member's name that needs no escaping, and the colon.
    @inline(__always)
    package mutating func key(_ name: StaticString) {
        let length = name.utf8CodeUnitCount
        let hasComma = needsComma
        put(atMost: length + 4) { text in
            let at = hasComma ? 1 : 0
            text[0] = UInt8(ascii: ",")
            text[at] = UInt8(ascii: "\"")
            (text + at + 1).update(from: name.utf8Start, count: length)
            text[at + length + 1] = UInt8(ascii: "\"")
            text[at + length + 2] = UInt8(ascii: ":")
            return at + length + 3
        }
        needsComma = false
    }

    /// Writes any member's name, and the colon.
    package mutating func key(named name: String) {
        string(name)
        append(UInt8(ascii: ":"))
        needsComma = false
    }

    package mutating func string(_ text: String) {
        separate()
        append(UInt8(ascii: "\""))
        appendEscaped(text)
        append(UInt8(ascii: "\""))
    }

    /// Writes a string that needs no escaping.
    package mutating func staticString(_ text: StaticString) {
        separate()
        append(UInt8(ascii: "\""))
        // The bytes of a static string live as long as the process.
        append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        append(UInt8(ascii: "\""))
    }

    package mutating func integer(_ value: UInt64) {
        separate()
        appendDecimal(value)
    }

    package mutating func integer(_ value: Int) {
        separate()
        if value < 0 { append(UInt8(ascii: "-")) }
        appendDecimal(UInt64(value.magnitude))
    }

    /// Writes a float with up to 17 digits; `null` if it is not finite.
    package mutating func float(_ value: Double) {
        separate()
        appendASCII(value.isFinite ? value.description : "null")
    }

    /// Writes an address or a size as `"0x…"`, lower case, no leading zeros.
    package mutating func address(_ value: UInt64) {
        separate()
        appendQuotedHexadecimal(value)
    }

    package mutating func bool(_ value: Bool) {
        separate()
        appendASCII(value ? "true" : "false")
    }

    package mutating func null() {
        separate()
        appendASCII("null")
    }

    /// Writes a value that is JSON already.
    package mutating func raw(_ json: some Collection<UInt8>) {
        separate()
        if json.withContiguousStorageIfAvailable({ append($0) }) == nil {
            for byte in json { append(byte) }
        }
    }

    /// Writes bytes as a string in base64, padded (RFC 4648, section 4).
    package mutating func base64(_ data: [UInt8]) {
        separate()
        append(UInt8(ascii: "\""))
        appendBase64(data)
        append(UInt8(ascii: "\""))
    }

    /// Ends a line. The next value gets no comma.
    package mutating func newLine() {
        append(UInt8(ascii: "\n"))
        needsComma = false
    }

    /// Writes the comma that a value here needs.
    @inline(__always)
    private mutating func separate() {
        if needsComma { append(UInt8(ascii: ",")) }
        needsComma = true
    }

    @inline(__always)
    private mutating func begin(_ bracket: UInt8) {
        separate()
        append(bracket)
        needsComma = false
    }

    @inline(__always)
    private mutating func end(_ bracket: UInt8) {
        append(bracket)
        needsComma = true
    }

    /// Appends bytes unchanged, as a part of a value.
    @inline(__always)
    mutating func append(_ text: UnsafeBufferPointer<UInt8>) {
        guard let source = text.baseAddress else { return }
        put(atMost: text.count) {
            $0.update(from: source, count: text.count)
            return text.count
        }
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        put(atMost: 1) {
            $0[0] = byte
            return 1
        }
    }

    /// Calls `fill`, which writes up to `limit` bytes at the end of the text and returns how many.
    @inline(__always)
    mutating func put(atMost limit: Int, _ fill: (UnsafeMutablePointer<UInt8>) -> Int) {
        if room.count - count < limit { grow(by: limit) }
        let end = count
        // A pointer, because there are `limit` bytes; checking each costs as much as writing it.
        count += room.withUnsafeMutableBufferPointer { room in
            room.baseAddress.map { fill($0 + end) } ?? 0
        }
    }

    @inline(never)
    private mutating func grow(by needed: Int) {
        enlarge(to: max(count + needed, room.count * 2, 256))
    }

    private mutating func enlarge(to size: Int) {
        let text = room[..<count]
        // Not filled with zeros: nothing beyond `count` is ever read, and a large reply would
        // be written twice.
        room = [UInt8](unsafeUninitializedCapacity: size) { bytes, initialized in
            _ = bytes.update(fromContentsOf: text)
            initialized = size
        }
    }
}

// MARK: - Members and containers. A member that is `nil` is not written.
extension JSONWriter {
    /// Writes an object whose members `body` writes.
    @inline(__always)
    package mutating func object(_ body: (inout JSONWriter) -> Void) {
        beginObject()
        body(&self)
        endObject()
    }

    /// Writes a member that is an object, whose members `body` writes.
    @inline(__always)
    package mutating func object(_ name: StaticString, _ body: (inout JSONWriter) -> Void) {
        key(name)
        object(body)
    }

    /// Writes a member that is an array, whose elements `body` writes.
    @inline(__always)
    package mutating func list<Element>(
        _ name: StaticString, _ elements: some Sequence<Element>,
        _ body: (inout JSONWriter, Element) -> Void
    ) {
        key(name)
        beginArray()
        for element in elements { body(&self, element) }
        endArray()
    }

    /// Writes a member whose value `write` writes.
    @inline(__always)
    package mutating func member<Value>(
        _ name: StaticString, _ value: Value?, _ write: (inout JSONWriter, Value) -> Void
    ) {
        guard let value else { return }
        key(name)
        write(&self, value)
    }

    @inline(__always)
    package mutating func member(_ name: StaticString, _ value: String?) {
        member(name, value) { $0.string($1) }
    }

    @inline(__always)
    package mutating func member(_ name: StaticString, _ value: UInt64?) {
        member(name, value) { $0.integer($1) }
    }

    @inline(__always)
    package mutating func member(_ name: StaticString, _ value: Int?) {
        member(name, value) { $0.integer($1) }
    }

    package mutating func member(_ name: StaticString, _ value: Bool) {
        member(name, value) { $0.bool($1) }
    }

    /// Writes a member that is an address or a size.
    @inline(__always)
    package mutating func member(_ name: StaticString, address value: UInt64?) {
        member(name, value) { $0.address($1) }
    }
}
