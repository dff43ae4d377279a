/// Why a submit did not take effect. In every case but `failed` the VM is exactly as before.
public enum SubmitError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The array breaks rules.
    case invalid(InvalidArray)
    /// The generation is not the one that was expected.
    case conflict(present: Generation, expected: Generation)
    /// A hook refused a change.
    case rejected(hook: String, change: MemslotChange, reason: String)
    /// These vCPUs and readers were still inside at the deadline; nothing was applied. With
    /// `.continuity` the additions before the hold were made, and deleted again. Both lists are
    /// empty if the submit waited for others until then.
    case quiesceTimeout(vcpus: [String], readers: [String])
    /// An operation failed; those before it were undone. If that came after the hold of
    /// `.continuity`, all pages of the logs that had ended count as dirty.
    case rolledBack(Rollback)
    /// Undoing failed too, now or in an earlier submit; vCPUs stay out of the guest.
    case failed(TableFailure)
    /// Submitted from inside a callback of the same table; waiting would deadlock.
    case reentrant(ReentryError)

    /// A failure that was undone.
    public struct Rollback: Hashable, Sendable {
        /// The backend's error.
        public var errno: Errno
        /// The index of the operation that failed; `nil` if a dirty log, or an attribute, did.
        public var operation: Int?
        /// The slot call that failed.
        public var call: SlotCall?
        /// The change of memory attributes that failed, which is no operation.
        public var attribute: MemoryAttributeChange?

        /// A sentence that says what failed, and that the VM is as before.
        public var message: String {
            if let attribute {
                return "KVM_SET_MEMORY_ATTRIBUTES (\(attribute)) failed with \(errno); "
                    + "all was undone, the VM is exactly as before"
            }
            guard let operation, let call else {
                return "a dirty log could not be read (\(errno)); the VM is exactly as before"
            }
            return "operation \(operation) (\(call.name) slot \(call.key)) failed with \(errno); "
                + "all was undone, the VM is exactly as before"
        }
    }

    /// The name that the wire and the logs use.
    public var kind: String {
        switch self {
        case .invalid(let array): array.violations.first?.kind.rawValue ?? "invalid-array"
        case .conflict: "generation-conflict"
        case .rejected: "prepare-rejected"
        case .quiesceTimeout: "quiesce-timeout"
        case .rolledBack: "rolled-back"
        case .failed: "vm-failed"
        case .reentrant: "reentrant"
        }
    }

    /// A sentence that says what, where, and what to do.
    public var message: String {
        switch self {
        case .invalid(let array): return array.message
        case .conflict(let present, let expected):
            return "generation \(expected) was expected, but the table is at \(present); "
                + "read it again and submit against that"
        case .rejected(let hook, let change, let reason):
            return "\(hook) refused the change of slot \(change.key): \(reason)"
        case .quiesceTimeout(let vcpus, let readers):
            if vcpus.isEmpty && readers.isEmpty {
                return "other submits ran until the deadline; nothing was applied, submit again"
            }
            let who = vcpus.map { "vCPU \($0)" } + readers.map { "reader \($0)" }
            return "still inside at the deadline: \(who.joined(separator: ", ")); "
                + "nothing was applied"
        case .rolledBack(let rollback): return rollback.message
        case .failed(let failure): return failure.message
        case .reentrant(let error): return error.message
        }
    }

    /// The message.
    public var description: String { message }
}

/// The state of a table that is neither as before nor as submitted, because an undo failed.
public struct TableFailure: Hashable, Sendable, CustomStringConvertible {
    /// The error of the operation that failed first.
    public var errno: Errno
    /// The index of that operation; `nil` if an attribute failed.
    public var operation: Int?
    /// The change of memory attributes that failed first.
    public var attribute: MemoryAttributeChange?
    /// The error of the undo.
    public var undoErrno: Errno
    /// The slots that are really installed, ascending by address space and id.
    public var installed: [Memslot]
    /// The changes of memory attributes that are in force and not undone; a recovery undoes them.
    public var attributes: [MemoryAttributeChange] = []
    /// The vCPUs that had not left at the deadline. They are in the guest until they leave.
    public var vcpus: [String] = []

    /// A sentence that says what happened and what to do.
    public var message: String {
        let isCall = operation != nil || attribute != nil || errno != .timedOut
        let call = attribute.map { "KVM_SET_MEMORY_ATTRIBUTES (\($0))" } ?? "a call"
        let cause = isCall ? "\(call) failed with \(errno)" : "the hold timed out"
        let inside = vcpus.map { "vCPU \($0)" }.joined(separator: ", ")
        let others = vcpus.isEmpty ? "vCPUs" : "\(inside) did not leave, the others"
        return "the VM is failed: \(cause), and undoing it with \(undoErrno); "
            + "\(others) stay out of the guest and \(installed.count) slots are installed. "
            + "Recover it, or destroy it"
    }

    /// The message.
    public var description: String { message }
}

extension SlotCall {
    /// The call's name on the wire.
    public var name: String {
        switch self {
        case .create: "create"
        case .delete: "delete"
        case .move: "move"
        case .reflag: "reflag"
        }
    }
}
