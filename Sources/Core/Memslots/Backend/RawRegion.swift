/// The words of one `KVM_SET_USER_MEMORY_REGION` or `…REGION2` call, not validated.
///
/// A simulator is compared with a kernel by it: both get the same words and must return the same.
/// Kernel: `struct kvm_userspace_memory_region` and `…region2` in include/uapi/linux/kvm.h.
package struct RawRegion: Hashable, Sendable {
    /// Id in bits 0-15, address space in bits 16-31.
    package var slot: UInt32
    /// `KVM_MEM_*` bits, any of them.
    package var flags: UInt32
    package var guestPhysicalAddress: UInt64
    /// Size in bytes; 0 deletes.
    package var memorySize: UInt64
    package var userspaceAddress: UInt64
    /// What the `guest_memfd` word refers to; `nil` makes it the old call, which has no such word.
    package var guestMemfd: RawGuestMemfd?
    package var guestMemfdOffset: UInt64

    package init(
        slot: UInt32, flags: UInt32, guestPhysicalAddress: UInt64, memorySize: UInt64,
        userspaceAddress: UInt64, guestMemfd: RawGuestMemfd? = nil, guestMemfdOffset: UInt64 = 0
    ) {
        (self.slot, self.flags, self.guestPhysicalAddress) = (slot, flags, guestPhysicalAddress)
        (self.memorySize, self.userspaceAddress) = (memorySize, userspaceAddress)
        (self.guestMemfd, self.guestMemfdOffset) = (guestMemfd, guestMemfdOffset)
    }
}

extension SlotKey {
    /// The kernel's `slot`: the id in bits 0-15, the address space in bits 16-31.
    package var kernelWord: UInt32 { addressSpace.rawValue << 16 | id.rawValue & 0xffff }

    package init(kernelWord: UInt32) {
        self.init(
            addressSpace: AddressSpaceID(rawValue: kernelWord >> 16),
            id: SlotID(rawValue: kernelWord & 0xffff))
    }
}

extension Memslot {
    package init(_ region: RawRegion, guestMemfd: GuestMemfdBinding?) {
        let key = SlotKey(kernelWord: region.slot)
        self.init(
            id: key.id, addressSpace: key.addressSpace,
            guestPhysicalAddress: GuestPhysicalAddress(region.guestPhysicalAddress),
            size: ByteCount(region.memorySize),
            userspaceAddress: UserspaceAddress(region.userspaceAddress),
            flags: MemslotFlags(rawValue: region.flags), guestMemfd: guestMemfd)
    }
}

/// A kind of file descriptor that a raw REGION2 call can name.
package enum RawGuestMemfd: Hashable, Sendable {
    /// The guest_memfd number `index` of the VM under test, 8 MiB each, made when first named.
    case file(index: UInt32)
    /// The descriptor of `/dev/kvm`.
    case kvm
    /// The descriptor of the VM itself.
    case vm
    /// An ordinary memfd.
    case memfd
    /// A guest_memfd of another VM.
    case otherVM
    /// −1.
    case none
}
