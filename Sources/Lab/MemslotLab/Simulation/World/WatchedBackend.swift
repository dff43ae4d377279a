import MemslotSimulator
import Memslots

/// Stands between the table and its machine: other threads may go on here, calls may be made to
/// fail, and what is carried out is noted.
// Sendable: touched by the thread with the baton alone.
final class WatchedBackend: MemslotBackend, @unchecked Sendable {
    let capabilities: Capabilities
    private let simulator: SimulatedBackend
    private let inner: any MemslotBackend
    // Set before the first call; the world holds the table, and that this.
    weak var world: World?

    init(_ simulator: SimulatedBackend, _ inner: any MemslotBackend) {
        capabilities = simulator.capabilities
        self.simulator = simulator
        self.inner = inner
    }

    func apply(_ call: SlotCall) throws(Errno) {
        guard let world else { return try inner.apply(call) }
        world.scheduler.yield()
        world.checkGuests(at: call)
        if let errno = world.faults.nextCall() {
            world.note("\(call.name) \(call.key) fails with \(errno)")
            world.transaction.faults.append(errno)
            world.transaction.isUndoing = true
            throw errno
        }
        do throws(Errno) {
            try inner.apply(call)
        } catch {
            world.report(.planIsLegal, "\(call) was refused with \(error)")
            throw error
        }
        world.note("\(call.name) \(call.key)")
        world.installed = simulator.installedSlots
        world.transaction.calls.append(call)
        if call.endsLogging, let slot = call.before {
            world.dirty.logEnds(
                of: slot, isUndone: world.transaction.isUndoing,
                isExact: world.scheduler.timeouts == world.transaction.timeoutsBefore)
        }
        // A guest that runs beside the plan sees each call by itself.
        if !world.transaction.isUndoing { world.scheduler.yield() }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        guard let world else { return try inner.readDirtyLog(of: slot, clear: clear) }
        world.scheduler.yield()
        if let errno = world.faults.nextLogRead() {
            world.note("log \(slot.assignedKey) fails with \(errno)")
            // The undo goes on without the log of a slot that it takes away.
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
    }

    func collectDirtyPages() { inner.collectDirtyPages() }
}

/// Which backend calls are to fail.
struct FaultPlan {
    /// A fault that waits to fire.
    enum Fault: Hashable {
        /// Call `operation` of a transaction, once.
        case once(operation: Int, Errno)
        /// Every call from `operation` on, until it is disarmed.
        case persistent(operation: Int, Errno)
        /// Call `operation`, and later in the same transaction call `undo`.
        case undo(operation: Int, undo: Int, Errno)
        /// The next reading of a dirty log.
        case log(Errno)
    }

    var armed: Fault?
    private var call = 0

    mutating func beginTransaction() { call = 0 }

    /// Counts a slot call.
    ///
    /// - Returns: what it fails with.
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

    /// Counts a reading of a dirty log.
    ///
    /// - Returns: what it fails with.
    mutating func nextLogRead() -> Errno? {
        guard case .log(let errno) = armed else { return nil }
        armed = nil
        return errno
    }
}

/// What has been seen of the transaction that runs, or that ran last.
struct TransactionRecord {
    /// How many waits had timed out when it began.
    var timeoutsBefore = 0
    /// Whether it is the recovery of a failed table.
    var isRecovery = false
    /// The calls that were carried out.
    var calls: [SlotCall] = []
    /// What backend calls were made to fail with, in order.
    var faults: [Errno] = []
    /// Whether a call failed, so that what comes now is its undo.
    var isUndoing = false
    /// How many hooks refused.
    var vetoes = 0
    /// Whether all calls are done, as the first `commit` of a hook shows.
    var isSwitched = false
    /// Whether a vCPU was in the guest when a call was carried out.
    var ranBesideGuest = false
}
