import CKVM
import Memslots

/// The errno of a call of CKVM, which returned `result`; `nil` if it succeeded.
func failure(of result: Int32) -> Errno? { result < 0 ? Errno(rawValue: -result) : nil }

/// Returns the value of a call of CKVM, or throws that `call` failed.
@discardableResult
func checkCall(_ call: String, _ result: Int32) throws(KVMError) -> Int32 {
    if let errno = failure(of: result) { throw .callFailed(call: call, errno: errno) }
    return result
}

/// The words of a slot call, for either of the two requests.
typealias RegionWords = ckvm_region2

extension RegionWords {
    init(
        slot: UInt32, flags: UInt32 = 0, address: UInt64, size: UInt64, userspaceAddress: UInt64,
        guestMemfd: Int32 = -1, guestMemfdOffset: UInt64 = 0
    ) {
        self.init()
        (self.slot, self.flags) = (slot, flags)
        (guest_phys_addr, memory_size, userspace_addr) = (address, size, userspaceAddress)
        guest_memfd = UInt32(bitPattern: guestMemfd)
        guest_memfd_offset = guestMemfdOffset
    }

    /// Installs `slot`, or changes the installed slot of its id.
    init(installing slot: Memslot) {
        self.init(
            slot: slot.assignedKey.kernelWord, flags: slot.flags.rawValue,
            address: slot.guestPhysicalAddress.rawValue, size: slot.size.rawValue,
            userspaceAddress: slot.userspaceAddress.rawValue,
            guestMemfd: slot.guestMemfd?.descriptor ?? -1,
            guestMemfdOffset: slot.guestMemfd?.offset.rawValue ?? 0)
    }

    /// Deletes `slot`. Without flags: with a size of 0 the kernel reads nothing else.
    init(deleting slot: Memslot) {
        self.init(
            slot: slot.assignedKey.kernelWord, address: slot.guestPhysicalAddress.rawValue,
            size: 0, userspaceAddress: slot.userspaceAddress.rawValue)
    }

    /// Makes the slot call.
    ///
    /// Kernel: `KVM_SET_USER_MEMORY_REGION2`, or the older call, which has no guest_memfd.
    /// - Returns: the errno; `nil` if it succeeded.
    func apply(to vm: Int32, byRegion2: Bool) -> Errno? {
        withUnsafePointer(to: self) { words in
            failure(
                of: byRegion2
                    ? ckvm_set_user_memory_region2(vm, words)
                    : ckvm_set_user_memory_region(vm, words))
        }
    }
}
