/// Bytes that choices are read from; past the end every choice is 0.
struct FuzzBytes {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position >= bytes.count }

    /// What has not been read.
    var rest: ArraySlice<UInt8> { bytes[min(position, bytes.count)...] }

    mutating func byte() -> UInt8 {
        defer { position += 1 }
        return position < bytes.count ? bytes[position] : 0
    }

    /// The next `count` bytes, or as many as are left.
    mutating func take(_ count: Int) -> ArraySlice<UInt8> {
        let taken = rest.prefix(count)
        position += taken.count
        return taken
    }

    mutating func number(below limit: UInt64) -> UInt64 { UInt64(byte()) % limit }
}
