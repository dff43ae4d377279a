import MemslotSimulator
import Memslots

/// Between table and simulator: others may run, operations fail, installed slots are recorded.
// Sendable: only the thread with the baton uses it.
final class WatchedBackend: MemoryAttributeBackend, @unchecked Sendable {
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
        try forward("\(call.name) \(call.key)", world) { () throws(Errno) in try inner.apply(call) }
        world.installed = simulator.installedSlots
        if !world.transaction.isUndoing { world.transaction.calls.append(call) }
        if call.endsLogging, let slot = call.before {
            world.dirty.logEnds(
                of: slot, isUndone: world.transaction.isUndoing, isExact: !world.hasTimedOut)
        }
        // A guest that runs beside the plan may observe each operation.
        if !world.transaction.isUndoing { world.scheduler.yield() }
    }

    func setMemoryAttributes(of range: GuestRange, isPrivate: Bool) throws(Errno) {
        guard let world else { return }
        world.scheduler.yield()
        let change = MemoryAttributeChange(range, isPrivate: isPrivate)
        world.check(world.guests == 0, .vcpusHeld, "\(change) beside \(world.guests) vCPUs")
        try forward("\(change)", world) { () throws(Errno) in
            try (inner as? any MemoryAttributeBackend ?? simulator)
                .setMemoryAttributes(of: range, isPrivate: isPrivate)
        }
        if world.transaction.isUndoing || world.transaction.isRecovery { return }
        world.transaction.attributes.append(change)
        // No hook commits if only attributes change.
        world.transaction.isSwitched =
            world.transaction.calls.isEmpty
            && simulator.privateRanges == world.transaction.privateRanges
    }

    /// Makes a call, unless it is to fail.
    private func forward(
        _ name: String, _ world: World, _ call: () throws(Errno) -> Void
    ) throws(Errno) {
        if let errno = world.faults.nextCall() {
            world.record("\(name) fails with \(errno)")
            world.transaction.faults.append(errno)
            world.transaction.isUndoing = true
            throw errno
        }
        do throws(Errno) { try call() } catch {
            world.report(.planIsLegal, "\(name) was refused with \(error)")
            throw error
        }
        world.record(name)
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
            timeoutsBefore: world.scheduler.timeouts, isRecovery: world.table.failure != nil,
            privateRanges: world.activePrivateRanges)
        guard !world.transaction.isRecovery,
            let submission = world.submissions[world.scheduler.running]
        else { return }
        let options = submission.options
        if options.quiesce == .continuity { world.transaction.continuity = submission.slots }
        guard let ranges = options.privateRanges else { return }
        world.transaction.privateRanges = GuestRangeSet(ranges).ranges
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
    /// The private ranges that it shall lead to, ascending and merged.
    var privateRanges: [GuestRange] = []
    /// The submitted array, if only continuity is promised.
    var continuity: [Memslot]?
    /// The operations that were applied, without those of the undo.
    var calls: [SlotCall] = []
    /// The changes of attributes that were applied, without those of the undo or a recovery.
    var attributes: [MemoryAttributeChange] = []
    /// The errnos of injected faults, in order.
    var faults: [Errno] = []
    /// Whether an operation failed, so that the undo runs.
    var isUndoing = false
    var vetoes = 0
    /// Whether all operations are applied. The first `commit` of a hook sets it, or the last attribute.
    var isSwitched = false
    var ranBesideGuest = false
    /// The slot that was deleted beside the guest, as the only operation.
    var deletedBesideGuest: Memslot?
}
