/// An integer with a meaning of its own: an address, a size, an id, a count.
///
/// A literal creates one where its type is known.
public protocol TypedInteger: RawRepresentable, Hashable, Comparable, Sendable,
    ExpressibleByIntegerLiteral, CustomStringConvertible
where RawValue: FixedWidthInteger & Sendable, IntegerLiteralType == RawValue {
    /// Creates the one with this number. Any number is accepted; a submit validates it.
    init(rawValue: RawValue)
}

extension TypedInteger {
    /// Creates the one with this number.
    @inlinable
    public init(_ rawValue: RawValue) { self.init(rawValue: rawValue) }

    /// Creates the one that a literal gives.
    @inlinable
    public init(integerLiteral value: RawValue) { self.init(rawValue: value) }

    /// Orders by number.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The number in decimal.
    public var description: String { String(rawValue) }
}

/// An address, a size or an offset, in bytes.
public protocol ByteInteger: TypedInteger where RawValue == UInt64 {}

extension ByteInteger {
    /// A Boolean value that indicates whether this is a multiple of 4096, the page of x86-64.
    @inlinable
    public var isPageAligned: Bool { isMultiple(of: pageSize) }

    /// Returns whether this is a multiple of `unit`, a power of two.
    @inlinable
    public func isMultiple(of unit: ByteCount) -> Bool { rawValue & (unit.rawValue &- 1) == 0 }

    /// Returns the number of whole pages of `size`, a power of two, that end here or before.
    @inlinable
    public func pages(of size: ByteCount) -> UInt64 {
        rawValue &>> UInt64(truncatingIfNeeded: size.rawValue.trailingZeroBitCount)
    }

    /// Returns what is `count` bytes further, or `nil` if that wraps 2^64.
    @inlinable
    public func advanced(by count: ByteCount) -> Self? {
        let (sum, wrapped) = rawValue.addingReportingOverflow(count.rawValue)
        return wrapped ? nil : Self(rawValue: sum)
    }

    /// The number as `0x…`, in lower case and without leading zeros.
    public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// An address in the guest's physical address space, in bytes.
///
/// ```swift
/// let bar: GuestPhysicalAddress = 0xfe00_0000
/// ```
public struct GuestPhysicalAddress: ByteInteger {
    /// The address in bytes.
    public var rawValue: UInt64

    /// Creates the address `rawValue`. Any value is accepted; a submit validates it.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The number of the guest page (the kernel's gfn) of 4096 bytes that contains this address.
    @inlinable
    public var pageNumber: UInt64 { rawValue / pageSize.rawValue }
}

/// An address in the user address space of the process that owns the VM, in bytes.
///
/// Kernel: `userspace_addr` (hva). KVM does not check that anything is mapped there.
public struct UserspaceAddress: ByteInteger {
    /// The address in bytes.
    public var rawValue: UInt64

    /// Creates the address `rawValue`. Any value is accepted; a submit validates it.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }
}

/// A size or an offset in bytes.
public struct ByteCount: ByteInteger {
    /// The number of bytes.
    public var rawValue: UInt64

    /// Creates a count of `rawValue` bytes.
    @inlinable
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// No bytes.
    public static let zero = ByteCount(rawValue: 0)

    /// The page of x86-64: 4096 bytes. ``Capabilities/pageSize`` is the page of a VM.
    public static let page = ByteCount(rawValue: 4096)

    /// Returns the bytes of `count` pages of 4096 bytes. Traps from 2^52 pages on.
    @inlinable
    public static func pages(_ count: UInt64) -> ByteCount { ByteCount(count * pageSize.rawValue) }

    /// Returns `count` × 1,024 bytes. Traps from 2^54 on.
    @inlinable
    public static func kibibytes(_ count: UInt64) -> ByteCount { ByteCount(count * (1 << 10)) }

    /// Returns `count` × 1,024² bytes. Traps from 2^44 on.
    @inlinable
    public static func mebibytes(_ count: UInt64) -> ByteCount { ByteCount(count * (1 << 20)) }

    /// Returns `count` × 1,024³ bytes. Traps from 2^34 on.
    @inlinable
    public static func gibibytes(_ count: UInt64) -> ByteCount { ByteCount(count * (1 << 30)) }

    /// Returns `count` × 1,024⁴ bytes. Traps from 2^24 on.
    @inlinable
    public static func tebibytes(_ count: UInt64) -> ByteCount { ByteCount(count * (1 << 40)) }

    /// The number of whole pages of 4096 bytes. ``ByteInteger/pages(of:)`` counts other pages.
    @inlinable
    public var pageCount: UInt64 { rawValue / pageSize.rawValue }
}

/// ``ByteCount/page``, as a global that the optimizer folds into inlined code.
@usableFromInline package let pageSize = ByteCount(rawValue: 4096)

extension UInt64 {
    /// The sum, or the largest number if it would wrap.
    package func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, wraps) = addingReportingOverflow(other)
        return wraps ? .max : sum
    }
}
