import CKVM
public import Memslots

/// Memory that a guest and this process share by one descriptor: a guest_memfd and its mapping.
///
/// The slots of ``slot(id:at:in:offset:size:)`` have this memory behind the guest_memfd and behind
/// the userspace address alike. Validation refuses what the kernel would: such a slot neither logs
/// nor is read-only (`check_memory_region_flags`, virt/kvm/kvm_main.c), and a page of the file is in
/// one of them at most (`kvm_gmem_bind`, virt/kvm/guest_memfd.c). Any change deletes and creates the
/// slot (`kvm_set_memory_region`). A slot at ``bytes`` without `guest-memfd` is an ordinary one, and may log.
///
/// Keep the object until the slots are gone and the table's readers have left them. The memory is
/// freed when the object is gone too, and the table's next transaction has begun: until then the
/// backend keeps the file of a deleted slot.
public final class SharedGuestMemfd: Sendable {
    /// `GUEST_MEMFD_FLAG_MMAP` and `GUEST_MEMFD_FLAG_INIT_SHARED`. With the first alone the kernel
    /// answers an access of the host with `SIGBUS`.
    package static let flags = UInt64(CKVM_GUEST_MEMFD_MMAP | CKVM_GUEST_MEMFD_INIT_SHARED)

    private let base: UserspaceAddress
    private let size: ByteCount
    private let file: OwnedDescriptor

    /// The memory, as long as this object lives.
    public var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: UInt(base.rawValue)),
            count: Int(size.rawValue))
    }

    /// The guest_memfd, to share with other processes. It holds the kernel's VM: the VM and its slots
    /// stay until the last copy is closed.
    public var descriptor: Int32 { file.number }

    /// Creates memory of `size` bytes, a multiple of the host's page that is not 0.
    ///
    /// Kernel: `KVM_CREATE_GUEST_MEMFD`, since 6.18 with these flags.
    ///
    /// - Throws: ``KVMError/unsupportedOption(missing:)`` unless ``KVMCapabilities/sharesGuestMemfd``.
    public init(of vm: VirtualMachine, size: ByteCount) throws(KVMError) {
        guard KVMCapabilities(of: vm).sharesGuestMemfd else {
            throw .unsupportedOption(missing: .guestMemfdFlags)
        }
        let number = try vm.makeGuestMemfd(size: size, flags: Self.flags)
        file = OwnedDescriptor(adopting: number)
        var start: UnsafeMutableRawPointer?
        try vm.check(ckvm_map(number, Int(size.rawValue), 0, &start), "mmap of a guest_memfd")
        (base, self.size) = (UserspaceAddress(UInt64(UInt(bitPattern: start))), size)
    }

    deinit { munmap(bytes.baseAddress, bytes.count) }

    /// A slot of this memory.
    ///
    /// - Parameters:
    ///   - id: its id; picked by the submit if `nil`.
    ///   - address: its guest physical address.
    ///   - addressSpace: its address space.
    ///   - offset: where it begins in the memory.
    ///   - size: its bytes, which must be in the memory; by default up to the memory's end.
    public func slot(
        id: SlotID? = nil, at address: GuestPhysicalAddress,
        in addressSpace: AddressSpaceID = .main, offset: ByteCount = .zero, size: ByteCount? = nil
    ) -> Memslot {
        precondition(offset <= self.size, "the offset is past the memory's end")
        let rest = ByteCount(self.size.rawValue - offset.rawValue)
        let size = size ?? rest
        precondition(size <= rest, "the slot is past the memory's end")
        return Memslot(
            id: id, addressSpace: addressSpace, guestPhysicalAddress: address, size: size,
            userspaceAddress: UserspaceAddress(base.rawValue + offset.rawValue), flags: .guestMemfd,
            guestMemfd: GuestMemfdBinding(descriptor: descriptor, offset: offset))
    }
}
