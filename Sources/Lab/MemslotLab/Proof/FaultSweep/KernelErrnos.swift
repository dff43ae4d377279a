package import Memslots

/// What a kernel may answer to each call, by the check order of `KVM_SET_USER_MEMORY_REGION2`.
///
/// The engine judges an array before it calls, so that most of these can't come of the array; they
/// come of another process (`EIO`), of a machine short of memory (`ENOMEM`), of a slot that somebody
/// else made (`EEXIST`, `EINVAL`), of a file that was closed (`EBADF`).
package enum KernelErrnos {
    private static let deviceAddress = Errno(rawValue: 6)

    /// The errnos of a slot call.
    ///
    /// Kernel: R1 `EIO`, R2 `EFAULT`, R3-R15 `EINVAL`, R16 `EEXIST` for a slot that gets a place,
    /// the allocations `ENOMEM`, R16a `EBADF` for a guest_memfd.
    package static func of(_ call: SlotCall) -> [Errno] {
        let always: [Errno] = [.ioError, .badAddress, .invalidArgument, .outOfMemory]
        switch call {
        case .create(let slot):
            return always + [.fileExists]
                + (slot.flags.contains(.guestMemfd) ? [.badFileDescriptor] : [])
        case .move: return always + [.fileExists]
        case .delete, .reflag: return always
        }
    }

    /// The errnos of `KVM_GET_DIRTY_LOG`: `EIO` as of every call, `ENXIO` with a ring in use,
    /// `EINVAL` for the id, `ENOENT` without a bitmap, `EFAULT` for the copy.
    package static let ofReading: [Errno] = [
        .ioError, deviceAddress, .invalidArgument, .noEntry, .badAddress,
    ]
}
