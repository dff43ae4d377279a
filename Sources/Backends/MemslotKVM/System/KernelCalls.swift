import CKVM
import Memslots

/// The result of a function of CKVM: a value, or minus an errno.
struct CallResult {
    let rawValue: Int32

    init(_ rawValue: Int32) { self.rawValue = rawValue }

    /// The errno; `nil` if the call succeeded.
    var errno: Errno? { rawValue < 0 ? Errno(rawValue: -rawValue) : nil }

    /// Returns the value, or throws the errno.
    func value() throws(Errno) -> Int32 {
        if let errno { throw errno }
        return rawValue
    }

    /// Returns the value, or throws that `call` failed.
    func value(of call: String) throws(KVMError) -> Int32 {
        if let errno { throw .callFailed(call: call, errno: errno) }
        return rawValue
    }
}

/// A file descriptor. An owned one is closed with the last reference.
final class Descriptor: Sendable {
    let rawValue: Int32
    private let isOwned: Bool

    init(_ rawValue: Int32, isOwned: Bool = true) {
        self.rawValue = rawValue
        self.isOwned = isOwned
    }

    deinit { if isOwned { _ = ckvm_close(rawValue) } }
}

/// The words of a slot call, for either of the two requests.
struct RegionWords {
    var slot: UInt32
    var flags: UInt32 = 0
    var address: UInt64
    var size: UInt64
    var userspaceAddress: UInt64
    var guestMemfd: Int32 = -1
    var guestMemfdOffset: UInt64 = 0

    /// Makes the slot call.
    ///
    /// Kernel: `KVM_SET_USER_MEMORY_REGION2`, or the older call, which has no guest_memfd.
    /// - Returns: the errno; `nil` if it succeeded.
    func apply(to vm: Int32, byRegion2: Bool) -> Errno? {
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
        var region = kvm_userspace_memory_region(
            slot: slot, flags: flags, guest_phys_addr: address, memory_size: size,
            userspace_addr: userspaceAddress)
        return CallResult(ckvm_set_user_memory_region(vm, &region)).errno
    }
}

extension RegionWords {
    /// Installs `slot`, or changes the installed slot of its id.
    init(installing slot: Memslot) {
        self.init(
            slot: slot.assignedKey.kernelWord, flags: slot.flags.rawValue,
            address: slot.guestPhysicalAddress.rawValue, size: slot.size.rawValue,
            userspaceAddress: slot.userspaceAddress.rawValue)
        if let binding = slot.guestMemfd {
            self.guestMemfd = binding.descriptor
            self.guestMemfdOffset = binding.offset.rawValue
        }
    }

    /// Deletes `slot`. Without flags: with a size of 0 the kernel reads nothing else.
    init(deleting slot: Memslot) {
        self.init(
            slot: slot.assignedKey.kernelWord, address: slot.guestPhysicalAddress.rawValue,
            size: 0, userspaceAddress: slot.userspaceAddress.rawValue)
    }
}
