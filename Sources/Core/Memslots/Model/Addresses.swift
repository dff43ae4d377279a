/// An address in the guest's physical address space, in bytes.
///
/// ```swift
/// let bar: GuestPhysicalAddress = 0xfe00_0000
/// ```
public struct GuestPhysicalAddress: RawRepresentable, Hashable, Comparable, Sendable,
    ExpressibleByIntegerLiteral, CustomStringConvertible
{
    /// The address in bytes.
    public var rawValue: UInt64

    /// Creates the address `rawValue`. Any value is accepted; a submit validates it.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates the address `rawValue`.
    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates the address that a literal gives.
    @inlinable
    public init(integerLiteral value: UInt64) { rawValue = value }

    /// The number of the guest page (the kernel's gfn) that contains this address.
    @inlinable
    public var pageNumber: UInt64 { rawValue / pageSize.rawValue }

    /// A Boolean value that indicates whether this is a multiple of 4096.
    @inlinable
    public var isPageAligned: Bool { rawValue & (pageSize.rawValue - 1) == 0 }

    /// Returns the address `count` bytes further, or `nil` if that wraps 2^64.
    @inlinable
    public func advanced(by count: ByteCount) -> GuestPhysicalAddress? {
        let (sum, wrapped) = rawValue.addingReportingOverflow(count.rawValue)
        return wrapped ? nil : GuestPhysicalAddress(rawValue: sum)
    }

    /// Orders addresses by number.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The address as `0x…`, in lower case and without leading zeros.
    public var description: String { hexadecimal(rawValue) }
}

/// An address in the user address space of the process that owns the VM, in bytes.
///
/// Kernel: `userspace_addr` (hva). KVM does not check that anything is mapped there.
public struct UserspaceAddress: RawRepresentable, Hashable, Comparable, Sendable,
    ExpressibleByIntegerLiteral, CustomStringConvertible
{
    /// The address in bytes.
    public var rawValue: UInt64

    /// Creates the address `rawValue`. Any value is accepted; a submit validates it.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates the address `rawValue`.
    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates the address that a literal gives.
    @inlinable
    public init(integerLiteral value: UInt64) { rawValue = value }

    /// A Boolean value that indicates whether this is a multiple of 4096.
    @inlinable
    public var isPageAligned: Bool { rawValue & (pageSize.rawValue - 1) == 0 }

    /// Returns the address `count` bytes further, or `nil` if that wraps 2^64.
    @inlinable
    public func advanced(by count: ByteCount) -> UserspaceAddress? {
        let (sum, wrapped) = rawValue.addingReportingOverflow(count.rawValue)
        return wrapped ? nil : UserspaceAddress(rawValue: sum)
    }

    /// Orders addresses by number.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The address as `0x…`, in lower case and without leading zeros.
    public var description: String { hexadecimal(rawValue) }
}

/// A size or an offset in bytes.
public struct ByteCount: RawRepresentable, Hashable, Comparable, Sendable,
    ExpressibleByIntegerLiteral, CustomStringConvertible
{
    /// The number of bytes.
    public var rawValue: UInt64

    /// Creates a count of `rawValue` bytes.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates a count of `rawValue` bytes.
    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates the count that a literal gives.
    @inlinable
    public init(integerLiteral value: UInt64) { rawValue = value }

    /// No bytes.
    public static let zero = ByteCount(rawValue: 0)

    /// A guest page: 4096 bytes, the unit in which KVM keeps slots and dirty bits.
    public static let page = ByteCount(rawValue: 4096)

    /// Returns the bytes of `count` pages of 4096 bytes. Traps from 2^52 pages on.
    @inlinable
    public static func pages(_ count: UInt64) -> ByteCount {
        ByteCount(rawValue: count * pageSize.rawValue)
    }

    /// Returns `count` × 1,024 bytes. Traps from 2^54 on.
    @inlinable
    public static func kibibytes(_ count: UInt64) -> ByteCount {
        ByteCount(rawValue: count * (1 << 10))
    }

    /// Returns `count` × 1,024² bytes. Traps from 2^44 on.
    @inlinable
    public static func mebibytes(_ count: UInt64) -> ByteCount {
        ByteCount(rawValue: count * (1 << 20))
    }

    /// Returns `count` × 1,024³ bytes. Traps from 2^34 on.
    @inlinable
    public static func gibibytes(_ count: UInt64) -> ByteCount {
        ByteCount(rawValue: count * (1 << 30))
    }

    /// Returns `count` × 1,024⁴ bytes. Traps from 2^24 on.
    @inlinable
    public static func tebibytes(_ count: UInt64) -> ByteCount {
        ByteCount(rawValue: count * (1 << 40))
    }

    /// The number of whole pages of 4096 bytes.
    @inlinable
    public var pageCount: UInt64 { rawValue / pageSize.rawValue }

    /// A Boolean value that indicates whether this is a multiple of 4096.
    @inlinable
    public var isPageAligned: Bool { rawValue & (pageSize.rawValue - 1) == 0 }

    /// Orders counts by number.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The count as `0x…`, in lower case and without leading zeros.
    public var description: String { hexadecimal(rawValue) }
}

/// ``ByteCount/page``, as a global that the optimizer folds into inlined code.
@usableFromInline package let pageSize = ByteCount(rawValue: 4096)

private func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
