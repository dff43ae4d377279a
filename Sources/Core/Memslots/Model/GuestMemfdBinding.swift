/// The part of a guest_memfd that a slot's private memory comes from.
///
/// Kernel: `guest_memfd` and `guest_memfd_offset` of `KVM_SET_USER_MEMORY_REGION2`.
public struct GuestMemfdBinding: Hashable, Sendable {
    /// The guest_memfd's file descriptor, or a simulator's handle for one.
    public var descriptor: Int32
    /// Where in the file the slot's memory begins, a multiple of 4096.
    public var offset: ByteCount

    /// Binds to `offset` bytes into `descriptor`.
    @inlinable
    public init(descriptor: Int32, offset: ByteCount = .zero) {
        self.descriptor = descriptor
        self.offset = offset
    }

    /// A guest_memfd of the slot's own, which a simulator keeps while id and size stay.
    public static let own = GuestMemfdBinding(descriptor: -1)

    /// Whether no file is named, whatever the offset.
    var isOwn: Bool { descriptor < 0 }
}
