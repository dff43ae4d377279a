/// The embedder's number of a memory object: one memfd, one file, one mapping's origin.
///
/// Slots that name the same object and offset are backed by the same host page, however often
/// the object is mapped. Range: 1 … 2^32 − 1.
public struct MemoryObjectID: TypedInteger {
    /// The number; 0 means no object.
    public var rawValue: UInt32

    /// Creates the id `rawValue`.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }
}

/// The place in a memory object where a slot's backing begins.
public struct MemoryReference: Hashable, Sendable {
    /// The object.
    public var object: MemoryObjectID
    /// The offset of the slot's first byte in the object.
    public var offset: ByteCount

    /// Refers to `offset` bytes into `object`.
    @inlinable
    public init(object: MemoryObjectID, offset: ByteCount) {
        (self.object, self.offset) = (object, offset)
    }
}

/// The part of a guest_memfd that backs a slot's private memory.
///
/// Kernel: `guest_memfd` and `guest_memfd_offset` of `KVM_SET_USER_MEMORY_REGION2`.
public struct GuestMemfdBinding: Hashable, Sendable {
    /// The guest_memfd's file descriptor, or a simulator's handle for one.
    public var descriptor: Int32
    /// The offset of the slot's memory in the file, a multiple of the VM's page.
    public var offset: ByteCount

    /// Binds to `offset` bytes into `descriptor`.
    @inlinable
    public init(descriptor: Int32, offset: ByteCount = .zero) {
        (self.descriptor, self.offset) = (descriptor, offset)
    }

    /// A guest_memfd of the slot's own, which a simulator keeps while id and size stay.
    public static let own = GuestMemfdBinding(descriptor: -1)

    /// A Boolean value that indicates whether no file is named, whatever the offset.
    var isOwn: Bool { descriptor < 0 }
}
