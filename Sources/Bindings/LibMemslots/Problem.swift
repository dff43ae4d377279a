import CMemslots
import MemslotKVM
import MemslotSimulator
import MemslotVhostUser
import Memslots

/// The reason for which a function returns an error.
enum Problem: Error {
    case submit(SubmitError)
    case reentrant(ReentryError)
    case dirtyLog(DirtyLogError)
    case kvm(KVMError)
    case system(call: StaticString, Errno)
    case touch(TouchError)
    case backEnd(VhostUserError)
    case badHandle(HandleKind)
    case badArgument(StaticString)
    case notMapped(GuestPhysicalAddress)
    case tooSmall(capacity: Int, count: Int)
    case notSupported(StaticString)
    case notInside, alreadyInside, tooManyHandles

    /// The code that the function returns.
    var code: Int32 {
        switch self {
        case .submit(.invalid): Int32(MEMSLOTS_INVALID_ARRAY)
        case .submit(.conflict): Int32(MEMSLOTS_CONFLICT)
        case .submit(.rejected): Int32(MEMSLOTS_REJECTED)
        case .submit(.quiesceTimeout): Int32(MEMSLOTS_QUIESCE_TIMEOUT)
        case .submit(.rolledBack): Int32(MEMSLOTS_ROLLED_BACK)
        case .submit(.failed), .dirtyLog(.failed): Int32(MEMSLOTS_FAILED)
        case .reentrant, .submit(.reentrant), .dirtyLog(.reentrant), .backEnd(.reentrant):
            Int32(MEMSLOTS_REENTRANT)
        case .dirtyLog(.slotWithoutID), .dirtyLog(.unknownSlot), .dirtyLog(.notLogging):
            Int32(MEMSLOTS_NO_SUCH_SLOT)
        case .kvm(.installedSlotDiffers), .kvm(.installedSlotUnlisted), .kvm(.dirtyLogDiffers),
            .kvm(.noVCPU):
            Int32(MEMSLOTS_BAD_ARGUMENT)
        case .kvm(.unsupportedOption), .kvm(.kernelTooOld), .kvm(.unsupportedVersion):
            Int32(MEMSLOTS_NOT_SUPPORTED)
        case .kvm, .system, .dirtyLog(.backend): Int32(MEMSLOTS_SYSTEM)
        case .touch(.unmapped), .notMapped: Int32(MEMSLOTS_NOT_MAPPED)
        case .touch(.readOnly): Int32(MEMSLOTS_READ_ONLY)
        case .backEnd: Int32(MEMSLOTS_BACK_END)
        case .badHandle: Int32(MEMSLOTS_BAD_HANDLE)
        case .badArgument, .dirtyLog(.pagesOutOfRange): Int32(MEMSLOTS_BAD_ARGUMENT)
        case .tooSmall: Int32(MEMSLOTS_TOO_SMALL)
        case .notSupported: Int32(MEMSLOTS_NOT_SUPPORTED)
        case .notInside, .alreadyInside: Int32(MEMSLOTS_NOT_INSIDE)
        case .tooManyHandles: Int32(MEMSLOTS_TOO_MANY_HANDLES)
        }
    }

    /// The kernel's errno that caused it.
    var errno: Errno? {
        switch self {
        case .submit(.rolledBack(let rollback)): rollback.errno
        case .submit(.failed(let failure)): failure.errno
        case .submit(.invalid(let array)): array.violations.first?.errno
        case .dirtyLog(.backend(let errno)): errno
        case .dirtyLog(.failed(let failure)): failure.errno
        case .kvm(let error): error.errno
        case .system(_, let errno), .backEnd(.systemCall(_, let errno)): errno
        default: nil
        }
    }

    /// A sentence that describes the problem and names what to do.
    var message: String {
        switch self {
        case .submit(let error): error.message
        case .reentrant(let error): error.message
        case .dirtyLog(let error): error.message
        case .kvm(let error): error.description
        case .system(let call, let errno): "\(call) failed with \(errno)"
        case .touch(.unmapped(let address)), .notMapped(let address):
            "no slot maps guest physical address \(address)"
        case .touch(.readOnly(let address, let slot)):
            "guest physical address \(address) is in slot \(slot), which is read-only"
        case .backEnd(let error): error.message
        case .badHandle(let kind):
            "the handle names no \(kind) of this process: it is closed, zero, or of another kind"
        case .tooSmall(let capacity, let count):
            "the list has \(count) entries, the capacity is \(capacity); pass a larger list"
        case .badArgument(let what), .notSupported(let what): "\(what)"
        case .notInside: "the view is not entered: its reader has left it, or never entered"
        case .alreadyInside:
            "the reader is inside: leave its view first, or register a reader for each view"
        case .tooManyHandles: "all 1,048,575 handles are in use; close some"
        }
    }
}
