internal import MemslotProtocol
internal import Memslots
internal import Synchronization

/// What a VM's table is as far as it has been told, and who is told what comes.
///
/// Filled by an observer of the table, inside its transactions: nothing here waits for a
/// transaction, so that looking at a VM, and following it, waits for none either.
final class EventFeed: Sendable {
    /// The table after the last event.
    struct Published: Sendable {
        var generation: Generation
        var array: MemslotArray
        var failure: TableFailure?

        /// The slots that are really there.
        var slots: [Memslot] { failure?.installed ?? array.slots }
    }

    private struct State {
        var published = Published(generation: Generation(0), array: .empty, failure: nil)
        var hasBegun = false
        var followers: [UInt64: EventQueue] = [:]
        var isClosed = false
    }

    /// Tells this feed's lines from others' in a queue.
    let number: UInt64
    private let memory: VMMemory
    private let account: UserAccount
    private let metrics: Metrics
    private let audience: TableAudience
    private let state: Locked<State>

    private static let lastNumber = Atomic<UInt64>(0)

    init(
        memory: VMMemory, account: UserAccount, metrics: Metrics, audience: TableAudience
    ) {
        number = Self.lastNumber.add(1, ordering: .relaxed).newValue
        self.memory = memory
        self.account = account
        self.metrics = metrics
        self.audience = audience
        state = Locked(State())
    }

    /// Takes what the table was when this began to observe it, unless it has told more since.
    func begin(with snapshot: TableSnapshot, failure: TableFailure?) {
        state.withLock { state in
            guard !state.hasBegun else { return }
            state.hasBegun = true
            state.published = Published(
                generation: snapshot.generation, array: snapshot.array, failure: failure)
            account.addSlots(snapshot.array.count)
        }
    }

    deinit { account.addSlots(-state.withLock { $0.published.array.count }) }

    /// The table, and the names of what is behind its slots then.
    var published: (table: Published, names: SlotNames) {
        // The names under the lock too: no object goes before its last slot's end is told.
        state.withLock { ($0.published, memory.names) }
    }

    /// Whether the VM has not been destroyed.
    var isOpen: Bool { state.withLock { !$0.isClosed } }

    /// Takes what the table says, and tells it to whoever follows: encoded once for all.
    func tell(_ event: TableEvent) {
        metrics.count(event)
        account.metrics.count(event)
        let told = state.withLock { state in
            let before = state.published.array.count
            let failure = state.published.failure
            state.published.take(event)
            if case .committed = event { state.hasBegun = true }
            account.addSlots(state.published.array.count - before)
            guard !state.followers.isEmpty else { return 0 }
            let line = EventLine.of(event, failure: failure, memory.names)
            // Inside the lock, so that a snapshot and what follows it can't cross.
            for queue in state.followers.values { queue.put(line, of: number) }
            return state.followers.count
        }
        account.metrics.add(.events, told)
        audience.tell(event, vm: memory.vm, user: account.user)
    }

    /// Tells `queue` all that comes after the answered snapshot.
    ///
    /// - Returns: the snapshot; `nil` where the VM is destroyed already.
    func follow(
        _ connection: UInt64, _ queue: EventQueue?
    ) -> (table: Published, names: SlotNames)? {
        state.withLock { state in
            guard !state.isClosed else { return nil }
            if let queue {
                queue.discard(of: number)
                state.followers[connection] = queue
            }
            return (state.published, memory.names)
        }
    }

    /// Tells every follower what is no event of the table.
    func announce(_ line: [UInt8]) {
        let told = state.withLock { state in
            // Of no feed: a new snapshot doesn't hold it, so it is never taken back.
            for queue in state.followers.values { queue.put(line) }
            return state.followers.count
        }
        account.metrics.add(.events, told)
    }

    /// Who follows, by connection.
    var followers: [UInt64: EventQueue] { state.withLock { $0.followers } }

    /// Tells `connection` nothing more.
    func unfollow(_ connection: UInt64) {
        state.withLock { _ = $0.followers.removeValue(forKey: connection) }
    }

    /// Tells everybody that the VM is gone, and nothing after that.
    func close() {
        state.withLock { state in
            guard !state.isClosed else { return }
            state.isClosed = true
            let line = EventLine.destroyed(memory.vm)
            for queue in state.followers.values { queue.put(line, of: number) }
            state.followers = [:]
        }
    }
}

extension EventFeed.Published {
    fileprivate mutating func take(_ event: TableEvent) {
        switch event {
        case .committed(let receipt, _, let array):
            (generation, self.array) = (receipt.generation, array)
        case .rolledBack, .retired: break
        case .failed(let failure, _): self.failure = failure
        case .recovered: failure = nil
        }
    }
}
