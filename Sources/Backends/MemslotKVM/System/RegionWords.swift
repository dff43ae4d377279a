import CKVM
import Memslots

/// The words of one slot call, and the two requests that carry them.
struct RegionWords {
    var slot: UInt32
    var flags: UInt32 = 0
    var address: UInt64
    var size: UInt64
    var userspaceAddress: UInt64
    var guestMemfd: Int32 = -1
    var guestMemfdOffset: UInt64 = 0

    /// The slot as it is to be.
    init(installing slot: Memslot) {
        self.slot = slot.assignedKey.kernelWord
        self.flags = slot.flags.rawValue
        self.address = slot.guestPhysicalAddress.rawValue
        self.size = slot.size.rawValue
        self.userspaceAddress = slot.userspaceAddress.rawValue
        if let binding = slot.guestMemfd {
            self.guestMemfd = binding.descriptor
            self.guestMemfdOffset = binding.offset.rawValue
        }
    }

    /// No flags: the kernel binds nothing, and looks at nothing else, where the size is 0.
    init(deleting slot: Memslot) {
        self.slot = slot.assignedKey.kernelWord
        self.address = slot.guestPhysicalAddress.rawValue
        self.size = 0
        self.userspaceAddress = slot.userspaceAddress.rawValue
    }

    init(slot: UInt32, flags: UInt32 = 0, address: UInt64, size: UInt64, userspaceAddress: UInt64) {
        self.slot = slot
        self.flags = flags
        self.address = address
        self.size = size
        self.userspaceAddress = userspaceAddress
    }

    /// Kernel: `KVM_SET_USER_MEMORY_REGION2`, or the old call, which has no guest_memfd.
    func set(on vm: Int32, byRegion2: Bool) -> Errno? {
        if byRegion2 {
            var region = ckvm_region2()
            region.slot = slot
            region.flags = flags
            region.guest_phys_addr = address
            region.memory_size = size
            region.userspace_addr = userspaceAddress
            region.guest_memfd = UInt32(bitPattern: guestMemfd)
            region.guest_memfd_offset = guestMemfdOffset
            return CallResult(ckvm_set_user_memory_region2(vm, &region)).errno
        }
        var region = kvm_userspace_memory_region()
        region.slot = slot
        region.flags = flags
        region.guest_phys_addr = address
        region.memory_size = size
        region.userspace_addr = userspaceAddress
        return CallResult(ckvm_set_user_memory_region(vm, &region)).errno
    }
}

extension SlotKey {
    /// The kernel's `slot`: id in bits 0-15, address space in bits 16-31.
    var kernelWord: UInt32 { addressSpace.rawValue << 16 | id.rawValue & 0xffff }

    /// The slot that a kernel's word names.
    init(kernelWord: UInt32) {
        self.init(
            addressSpace: AddressSpaceID(rawValue: kernelWord >> 16),
            id: SlotID(rawValue: kernelWord & 0xffff))
    }
}
