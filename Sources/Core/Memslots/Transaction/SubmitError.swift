/// Why a submit did not take effect. In every case but `failed` the VM is exactly as before.
public enum SubmitError: Error, Hashable, Sendable {
    /// The array breaks rules.
    case invalid(InvalidArray)
    /// The generation is not the one that was expected.
    case conflict(present: Generation, expected: Generation)
    /// A hook refused a change.
    case rejected(hook: String, change: MemslotChange, reason: String)
    /// Somebody was still inside at the deadline; nothing was applied.
    case quiesceTimeout(vcpus: [String], readers: [String])
    /// A backend call failed midway, and what was done has been undone.
    case rolledBack(Rollback)
    /// Undoing failed too, now or in an earlier submit; vCPUs stay out of the guest.
    case failed(TableFailure)
    /// Submitted from a place in which it would wait for itself.
    case reentrant(ReentryError)

    /// A failure that was undone.
    public struct Rollback: Hashable, Sendable {
        /// What the backend answered.
        public var errno: Errno
        /// The index of the slot call that failed; `nil` if reading a dirty log did.
        public var operation: Int?
        /// The call that failed.
        public var call: SlotCall?
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
            let who = vcpus.map { "vCPU \($0)" } + readers.map { "reader \($0)" }
            return "still inside at the deadline: \(who.joined(separator: ", ")); "
                + "nothing was applied"
        case .rolledBack(let rollback):
            guard let operation = rollback.operation, let call = rollback.call else {
                return "a dirty log could not be read (\(rollback.errno)); "
                    + "the VM is exactly as before"
            }
            return "operation \(operation) (\(call.name) slot \(call.key)) failed with "
                + "\(rollback.errno); all was undone, the VM is exactly as before"
        case .failed(let failure): return failure.message
        case .reentrant(let error): return error.message
        }
    }
}

/// A table that is neither as before nor as wanted, because taking back failed.
public struct TableFailure: Hashable, Sendable {
    /// What the backend answered to the call that began it.
    public var errno: Errno
    /// The index of that call; `nil` if it was no slot call.
    public var operation: Int?
    /// What the backend answered to the call that should have undone.
    public var undoErrno: Errno
    /// The slots that are really installed, ascending by address space and id.
    public var installed: [Memslot]

    /// A sentence that says what happened and what to do.
    public var message: String {
        "the VM is failed: a call failed with \(errno), and undoing it with \(undoErrno); "
            + "vCPUs stay out of the guest and \(installed.count) slots are installed. "
            + "Recover it, or destroy it"
    }
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
