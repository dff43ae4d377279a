/// An integer of the kernel's memslot interface, as a type of its own.
///
/// Ids, addresses and sizes are all plain integers in `struct kvm_userspace_memory_region`;
/// giving each its type makes it impossible to pass one for another.
public protocol MemslotInteger: RawRepresentable, Hashable, Comparable, Sendable,
    CustomStringConvertible
where RawValue: FixedWidthInteger & UnsignedInteger & Sendable {
    /// Wraps `rawValue`, whatever it is: ranges are judged with the array.
    init(rawValue: RawValue)
}

extension MemslotInteger {
    /// Wraps `rawValue`.
    @inlinable
    public init(_ rawValue: RawValue) { self.init(rawValue: rawValue) }

    /// Orders by number.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A 64-bit address or size that is written in hexadecimal.
public protocol MemslotQuantity: MemslotInteger where RawValue == UInt64 {}

extension MemslotQuantity {
    /// `0x…`, lower case, no leading zeros.
    public var description: String { "0x" + String(rawValue, radix: 16) }

    /// Whether this is a multiple of the page size, 4096 bytes.
    @inlinable
    public var isPageAligned: Bool { rawValue & (pageSize.rawValue - 1) == 0 }
}

/// The size of a guest page: 4096 bytes, the unit in which KVM keeps slots and dirty bits.
public let pageSize = ByteCount(rawValue: 4096)
