/// Writes JSON text into bytes, compactly, members in the order written.
///
/// Commas come by themselves; that brackets close and that names and values alternate is the
/// caller's to keep.
public struct JSONWriter: Sendable {
    /// The text, and room after it: filling room is several times faster than appending to an
    /// array, which is looked at anew for every piece.
    private var room: [UInt8] = []
    /// How many bytes the text has.
    public private(set) var count = 0
    private var needsComma = false

    /// An empty text.
    public init() {}

    /// An empty text with room for `capacity` bytes.
    public init(capacity: Int) { reserve(capacity) }

    /// Makes room for `more` bytes, so that a text whose length is about known is never moved.
    public mutating func reserve(_ more: Int) {
        if room.count - count < more { enlarge(to: count + more) }
    }

    /// The text so far. Cost: a copy; ``finish()`` has none.
    public var bytes: [UInt8] { Array(room[..<count]) }

    /// Calls `body` with the text so far, which it must not keep.
    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        room.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    /// Hands the text out.
    public consuming func finish() -> [UInt8] {
        room.removeLast(room.count - count)
        return room
    }

    /// Drops what was written, but keeps the room.
    public mutating func removeAll() {
        count = 0
        needsComma = false
    }

    /// Writes `{`.
    public mutating func beginObject() { begin(UInt8(ascii: "{")) }

    /// Writes `}`.
    public mutating func endObject() { end(UInt8(ascii: "}")) }

    /// Writes `[`.
    public mutating func beginArray() { begin(UInt8(ascii: "[")) }

    /// Writes `]`.
    public mutating func endArray() { end(UInt8(ascii: "]")) }

    /// Writes a member's name that needs no escaping, and the colon.
    @inline(__always)
    public mutating func key(_ name: StaticString) {
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
    public mutating func key(named name: String) {
        string(name)
        append(UInt8(ascii: ":"))
        needsComma = false
    }

    /// Writes a string.
    public mutating func string(_ text: String) {
        separate()
        append(UInt8(ascii: "\""))
        appendEscaped(text)
        append(UInt8(ascii: "\""))
    }

    /// Writes a string that needs no escaping.
    public mutating func staticString(_ text: StaticString) {
        separate()
        append(UInt8(ascii: "\""))
        // The bytes of a static string live as long as the process.
        append(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
        append(UInt8(ascii: "\""))
    }

    /// Writes an integer.
    public mutating func integer(_ value: UInt64) {
        separate()
        appendDecimal(value)
    }

    /// Writes an integer.
    public mutating func integer(_ value: Int) {
        separate()
        if value < 0 { append(UInt8(ascii: "-")) }
        appendDecimal(UInt64(value.magnitude))
    }

    /// Writes a float with up to 17 digits; `null` if it is not finite.
    public mutating func float(_ value: Double) {
        separate()
        appendASCII(value.isFinite ? value.description : "null")
    }

    /// Writes an address or a size as `"0x…"`, lower case, no leading zeros.
    public mutating func address(_ value: UInt64) {
        separate()
        appendQuotedHexadecimal(value)
    }

    /// Writes `true` or `false`.
    public mutating func bool(_ value: Bool) {
        separate()
        appendASCII(value ? "true" : "false")
    }

    /// Writes `null`.
    public mutating func null() {
        separate()
        appendASCII("null")
    }

    /// Writes a value that is JSON already.
    public mutating func raw(_ json: some Collection<UInt8>) {
        separate()
        if json.withContiguousStorageIfAvailable({ append($0) }) == nil {
            for byte in json { append(byte) }
        }
    }

    /// Writes bytes as a string in base64, padded (RFC 4648, section 4).
    public mutating func base64(_ data: [UInt8]) {
        separate()
        append(UInt8(ascii: "\""))
        appendBase64(data)
        append(UInt8(ascii: "\""))
    }

    /// Ends a line, so that the next value stands by itself.
    public mutating func newLine() {
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

    /// Appends bytes as they are: part of a value that has begun.
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

    /// Lets `fill` write up to `limit` bytes at the end of the text, and say how many.
    @inline(__always)
    mutating func put(atMost limit: Int, _ fill: (UnsafeMutablePointer<UInt8>) -> Int) {
        if room.count - count < limit { grow(by: limit) }
        let end = count
        // A pointer, because `limit` bytes are there; checking each costs as much as writing it.
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
        // Not filled with zeros: nothing beyond `count` is ever read, and a large answer would be
        // touched twice.
        room = [UInt8](unsafeUninitializedCapacity: size) { bytes, initialized in
            _ = bytes.update(fromContentsOf: text)
            initialized = size
        }
    }
}
