import MemslotSimulator
import Memslots

/// Between table and simulator: others may run, operations fail, installed slots are recorded.
// Sendable: only the thread with the baton uses it.
final class WatchedBackend: MemslotBackend, @unchecked Sendable {
    let capabilities: Capabilities
    private let simulator: SimulatedBackend
    private let inner: any MemslotBackend
    // Set before the first operation; the world owns the table, which owns this.
    weak var world: World?

    init(_ simulator: SimulatedBackend, _ inner: any MemslotBackend) {
        capabilities = simulator.capabilities
        (self.simulator, self.inner) = (simulator, inner)
    }

    func apply(_ call: SlotCall) throws(Errno) {
        guard let world else { return try inner.apply(call) }
        world.scheduler.yield()
        world.checkGuests(at: call)
        if let errno = world.faults.nextCall() {
            world.record("\(call.name) \(call.key) fails with \(errno)")
            world.transaction.faults.append(errno)
            world.transaction.isUndoing = true
            throw errno
        }
        do throws(Errno) { try inner.apply(call) } catch {
            world.report(.planIsLegal, "\(call) was refused with \(error)")
            throw error
        }
        world.record("\(call.name) \(call.key)")
        world.installed = simulator.installedSlots
        if !world.transaction.isUndoing { world.transaction.calls.append(call) }
        if call.endsLogging, let slot = call.before {
            world.dirty.logEnds(
                of: slot, isUndone: world.transaction.isUndoing,
                isExact: world.scheduler.timeouts == world.transaction.timeoutsBefore)
        }
        // A guest that runs beside the plan may observe each operation.
        if !world.transaction.isUndoing { world.scheduler.yield() }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        guard let world else { return try inner.readDirtyLog(of: slot, clear: clear) }
        world.scheduler.yield()
        if let errno = world.faults.nextLogRead() {
            world.record("log \(slot.assignedKey) fails with \(errno)")
            // The undo continues without the log of a slot that it removes.
            world.transaction.faults.append(errno)
            throw errno
        }
        return try inner.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() {
        inner.beginTransaction()
        guard let world else { return }
        world.faults.beginTransaction()
        for hook in world.hooks { hook.checkIdle() }
        world.transaction = TransactionRecord(
            timeoutsBefore: world.scheduler.timeouts, isRecovery: world.table.failure != nil)
        if let submission = world.submissions[world.scheduler.running],
            submission.quiesce == .continuity, !world.transaction.isRecovery
        {
            world.transaction.continuity = submission.slots
        }
    }

    func collectDirtyPages() { inner.collectDirtyPages() }
}

struct FaultPlan {
    enum Fault: Hashable {
        case once(operation: Int, Errno)
        /// Every operation from `operation` on fails, until the fault is disarmed.
        case persistent(operation: Int, Errno)
        /// Operation `operation` fails, and later in the same transaction `undo`.
        case undo(operation: Int, undo: Int, Errno)
        case log(Errno)
    }

    var armed: Fault?
    private var call = 0

    mutating func beginTransaction() { call = 0 }

    /// Counts an operation. Returns the errno with which it fails.
    mutating func nextCall() -> Errno? {
        defer { call += 1 }
        switch armed {
        case .once(call, let errno):
            armed = nil
            return errno
        case .persistent(let first, let errno): return call >= first ? errno : nil
        case .undo(call, let undo, let errno):
            armed = .once(operation: undo, errno)
            return errno
        default: return nil
        }
    }

    /// Counts a read of a dirty log. Returns the errno with which it fails.
    mutating func nextLogRead() -> Errno? {
        guard case .log(let errno) = armed else { return nil }
        armed = nil
        return errno
    }
}

/// The observed effects of the running or last transaction.
struct TransactionRecord {
    /// The number of timed-out waits when it began.
    var timeoutsBefore = 0
    var isRecovery = false
    /// The submitted array, if only continuity is promised.
    var continuity: [Memslot]?
    /// The operations that were applied, without those of the undo.
    var calls: [SlotCall] = []
    /// The errnos of injected faults, in order.
    var faults: [Errno] = []
    /// Whether an operation failed, so that the undo runs.
    var isUndoing = false
    var vetoes = 0
    /// Whether all operations are applied. The first `commit` of a hook sets it.
    var isSwitched = false
    var ranBesideGuest = false
    /// The slot that was deleted beside the guest, as the only operation.
    var deletedBesideGuest: Memslot?
}
