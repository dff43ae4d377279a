internal import CReading
internal import Synchronization

/// The writer's side of readers that execute no fence of their own.
///
/// Kernel: membarrier(2), private expedited: it interrupts every other core that runs a thread of
/// this process. Paid once a submit, where a fence would be paid at every read.
enum ProcessFence {
    /// Whether the kernel has it; else readers execute a fence each. Decided once a process.
    static let isAvailable = creading_fence_register() == 0

    /// Orders every reader of the process with the caller.
    ///
    /// - Returns: whether it was done. Not where the system call was forbidden meanwhile.
    static func order() -> Bool {
        guard isAvailable else {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            return true
        }
        if creading_fence() == 0 { return true }
        // A child of fork(2) has to register anew.
        return creading_fence_register() == 0 && creading_fence() == 0
    }
}
