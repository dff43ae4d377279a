/// A size or an offset in bytes.
public struct ByteCount: MemslotQuantity {
    /// The number of bytes.
    public var rawValue: UInt64

    /// Wraps `rawValue` bytes.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// No bytes.
    public static let zero = ByteCount(rawValue: 0)

    /// How many whole pages of 4096 bytes these are.
    @inlinable
    public var pageCount: UInt64 { rawValue / pageSize.rawValue }

    /// The bytes of `count` pages of 4096 bytes.
    ///
    /// - Parameter count: at most 2^52 − 1; more traps.
    @inlinable
    public static func pages(_ count: UInt64) -> ByteCount {
        ByteCount(rawValue: count * pageSize.rawValue)
    }
}
