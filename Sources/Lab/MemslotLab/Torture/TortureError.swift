package import MemslotKVM
package import Memslots

/// Why a torture could not be carried through.
package enum TortureError: Error, Hashable, Sendable {
    /// An option is out of its range.
    case invalidOption(String)
    /// KVM can't be used, or lacks something.
    case kvm(KVMError)
    /// Memory, a signal or a thread could not be had.
    case system(Errno)
    /// A simulated VM has no dirty rings.
    case noSimulatedRing
    /// The table would not take an array that is valid.
    case submit(SubmitError)
    /// A dirty log could not be read.
    case dirtyLog(DirtyLogError)
    /// A vCPU made no round in ten seconds, or didn't stop.
    case stuck(vcpu: Int)

    /// A sentence that says what is wrong.
    package var message: String {
        switch self {
        case .invalidOption(let what): what
        case .kvm(let error): error.description
        case .system(let errno): "memory, a signal or a thread could not be had: \(errno)"
        case .noSimulatedRing: "a simulated VM has no dirty rings"
        case .submit(let error): "a transaction failed: \(error.message)"
        case .dirtyLog(let error): "a dirty log could not be read: \(error)"
        case .stuck(let vcpu): "vCPU \(vcpu) makes no progress"
        }
    }
}
