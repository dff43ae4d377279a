/// A memory object that the embedder knows: one memfd, one file, one mapping's origin.
///
/// Two slots that name the same object and offset are backed by the same host page, however
/// often the object is mapped. Range: 1 … 2^32 − 1.
public struct MemoryObjectID: MemslotInteger {
    /// The number.
    public var rawValue: UInt32

    /// Wraps `rawValue`; 0 means no object.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The number in decimal.
    public var description: String { String(rawValue) }
}

/// Where in a memory object a slot's backing begins.
public struct MemoryReference: Hashable, Sendable {
    /// The object.
    public var object: MemoryObjectID
    /// The offset of the slot's first byte in the object.
    public var offset: ByteCount

    /// Refers to `offset` bytes into `object`.
    @inlinable
    public init(object: MemoryObjectID, offset: ByteCount) {
        self.object = object
        self.offset = offset
    }
}
