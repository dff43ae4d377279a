internal import CLinux
public import Memslots

/// The state of a back end, as an observer knows it.
public enum VhostUserState: Hashable, Sendable {
    /// Not attached to a table yet.
    case detached
    /// The back end follows the table.
    case attached
    /// The connection ended for this reason. Transactions go on without the back end; reconnect it.
    case lost(VhostUserError)
    /// Reconnected, but its rings are not started: nobody knows which of their requests are open.
    /// The guest's driver must reset the device; start the rings then.
    case needsReset

    /// The name of the state.
    public var name: String {
        switch self {
        case .detached: "detached"
        case .attached: "attached"
        case .lost: "lost"
        case .needsReset: "needs-reset"
        }
    }
}

/// Keeps a vhost-user back end in step with a table.
///
/// In a transaction's `prepare`, memory that comes is sent to the back end and confirmed. If memory
/// goes, is exchanged or is cut, the rings are drained, and the back end's table is exchanged while
/// they stand still, so that neither the guest nor the back end sees a table between the two. In
/// `commit` nothing is sent. In `finish` what is gone is removed, and the rings continue. Rings of
/// other back ends never stop.
///
/// The slots' mappings must be readable in this process: the observer reads the rings' indexes.
/// Call everything from any thread. ``start(_:base:by:)``, ``stop(ring:by:)`` and
/// ``reconnect(_:offer:by:)`` wait for a transaction to end, and throw `reentrant` inside of one.
public final class VhostUserObserver: ReportingHook {
    /// The name that errors and receipts show.
    public let name: String
    let configuration: Configuration
    let state: Locked<BackEnd>

    /// What does not change.
    struct Configuration: Sendable {
        var isVisible: @Sendable (Memslot) -> Bool
        var descriptor: @Sendable (MemoryObjectID) -> Int32?
        var waitsForRequests: Bool
        var patience: Duration
        var stateChanged: @Sendable (VhostUserState) -> Void
        /// The call of rings that are being drained.
        var silence: OwnedDescriptor
    }

    /// Creates an observer of a back end whose connection is open and whose features are set.
    ///
    /// - Parameters:
    ///   - name: the name for errors and receipts.
    ///   - frontEnd: the connection, used by this observer alone from now on.
    ///   - offer: what opening it returned.
    ///   - isVisible: which slots the back end sees. By default every writable one of the main address
    ///     space; leave out device memory here.
    ///   - descriptor: returns the file behind a memory object. Called inside transactions.
    ///   - waitsForRequests: whether the back end itself waits for its requests when a ring stops, as
    ///     virtiofsd does. Then the ring's kick is not silenced before, which ends virtiofsd.
    ///   - patience: how long the back end may take after a transaction has committed or aborted.
    ///   - stateChanged: called when the back end is lost or needs a reset, on the thread that found
    ///     it; must be short, and may read the table.
    public init(
        name: String, frontEnd: VhostUserFrontEnd, offer: VhostUserOffer,
        isVisible: @escaping @Sendable (Memslot) -> Bool = VhostUserObserver.isWritableMemory,
        descriptor: @escaping @Sendable (MemoryObjectID) -> Int32?, waitsForRequests: Bool = false,
        patience: Duration = .seconds(10),
        stateChanged: @escaping @Sendable (VhostUserState) -> Void = { _ in }
    ) throws(VhostUserError) {
        self.name = name
        let silence = OwnedDescriptor(adopting: try valueOfCall("eventfd", clinux_eventfd()))
        configuration = Configuration(
            isVisible: isVisible, descriptor: descriptor, waitsForRequests: waitsForRequests,
            patience: patience, stateChanged: stateChanged, silence: silence)
        state = Locked(BackEnd(frontEnd: frontEnd, offer: offer, configuration: configuration))
    }

    /// Whether a slot is writable memory of the main address space: what devices may see.
    public static let isWritableMemory: @Sendable (Memslot) -> Bool = { slot in
        slot.addressSpace == .main && !slot.flags.contains(.readOnly)
    }

    /// The back end's state.
    public var backEndState: VhostUserState { state.withLock { $0.condition } }
    /// How often a running ring was stopped for a transaction.
    public var ringStops: Int { state.withLock { $0.ringStops } }
    /// The regions that the back end has, ascending by guest address.
    public var regions: [VhostUserRegion] { state.withLock { $0.regions } }
    /// How many messages of each kind were sent to the back end.
    public var messagesSent: [VhostUserRequest: Int] { state.withLock { $0.frontEnd }.messagesSent }

    /// Sends the table's array to the back end, and follows the table from then on.
    public func attach(to table: MemslotTable) throws(VhostUserError) {
        do throws(HookVeto) { try table.add(self) } catch {
            throw state.withLock { $0.beginError } ?? .invalid(error.reason)
        }
    }

    /// Starts a ring, whose descriptors are copied, or starts it again with another configuration.
    /// The back end begins at `base`, which has two halves for a packed ring, by `deadline`.
    public func start(
        _ ring: VhostUserRing, base: UInt32 = 0, by deadline: Deadline
    ) throws(VhostUserError) {
        let kept = KeptRing(
            ring: ring, kick: try OwnedDescriptor(duplicating: ring.kick),
            call: try OwnedDescriptor(duplicating: ring.call),
            // Made now, because a change must not fail for want of a descriptor.
            privateKick: OwnedDescriptor(adopting: try valueOfCall("eventfd", clinux_eventfd())),
            isStarted: true, base: base)
        try outsideTransactions { backEnd throws(VhostUserError) in
            try backEnd.start(kept, by: deadline)
        }
    }

    /// Drains and stops a ring. Returns where it stopped.
    public func stop(ring: Int, by deadline: Deadline) throws(VhostUserError) -> UInt32 {
        try outsideTransactions { backEnd throws(VhostUserError) in
            try backEnd.stop(ring, by: deadline)
        }
    }

    /// Continues with a new connection to the back end, whose features are set, and sends the table.
    /// Rings restart if it keeps its requests in flight in a buffer that survives it
    /// (`INFLIGHT_SHMFD`); otherwise the state is ``VhostUserState/needsReset``.
    public func reconnect(
        _ frontEnd: VhostUserFrontEnd, offer: VhostUserOffer, by deadline: Deadline
    ) throws(VhostUserError) {
        try outsideTransactions { backEnd throws(VhostUserError) in
            try backEnd.reconnect(frontEnd, offer: offer, by: deadline)
        }
    }

    /// Runs `body` when no transaction is between `prepare` and its end.
    private func outsideTransactions<R>(
        _ body: (inout BackEnd) throws(VhostUserError) -> R
    ) throws(VhostUserError) -> R {
        let (result, news) = state.withLock(waitingWhile: { $0.isInOthersTransaction }) { backEnd in
            backEnd.run { backEnd throws(VhostUserError) in
                guard !backEnd.isInTransaction else { throw .reentrant }
                return try body(&backEnd)
            }
        }
        if let news { configuration.stateChanged(news) }
        return try result.get()
    }
}

/// What the table calls.
extension VhostUserObserver {
    /// Sends the first table. As `TransactionHook.begin(with:)`.
    public func begin(with snapshot: TableSnapshot) throws(HookVeto) {
        try vetoing { backEnd throws(VhostUserError) in
            try backEnd.begin(with: snapshot.array.slots, by: .after(configuration.patience))
        }
    }

    /// Sends what comes, and exchanges what changes. As `TransactionHook.prepare(_:)`.
    public func prepare(_ changes: TransactionChanges) throws(HookVeto) {
        try vetoing { backEnd throws(VhostUserError) in
            try backEnd.prepare(changes.after, by: changes.deadline)
        }
    }

    /// Sends nothing. As `TransactionHook.commit(_:)`.
    public func commit(_ changes: TransactionChanges) {}

    /// Removes what is gone, and lets the rings continue. As `TransactionHook.finish(_:)`.
    public func finish(_ changes: TransactionChanges) { end { $0.finish() } }

    /// Restores the former table, and lets the rings continue. As `TransactionHook.abort(_:)`.
    public func abort(_ changes: TransactionChanges) { end { $0.abort() } }

    /// Returns what the back end recorded. As `TransactionHook.dirtyPages()`.
    public func dirtyPages() -> [DirtyPages] { state.withLock { $0.removeWritten() } }

    /// Returns what the back end was sent for the last transaction. As `ReportingHook.report()`.
    public func report() -> ObserverReport { report(since: state.withLock { $0.sentBefore }) }

    /// Returns what the back end was sent beyond `before`.
    package func report(since before: [VhostUserRequest: Int]) -> ObserverReport {
        let (state, regions, sent) = state.withLock {
            ($0.condition, $0.regions.count, $0.frontEnd.messagesSent)
        }
        var report = ObserverReport(observer: name, state: state.name)
        report.regionCount = regions
        if case .lost(let error) = state { report.reason = error.message }
        for (request, count) in sent where count > before[request, default: 0] {
            report.messages[request.name] = count - before[request, default: 0]
        }
        return report
    }

    private func vetoing(_ body: (inout BackEnd) throws(VhostUserError) -> Void) throws(HookVeto) {
        let (result, news) = state.change { $0.run(body) }
        if let news { configuration.stateChanged(news) }
        do throws(VhostUserError) { try result.get() } catch { throw HookVeto(error.message) }
    }

    private func end(_ body: (inout BackEnd) -> Void) { try? vetoing { body(&$0) } }
}
