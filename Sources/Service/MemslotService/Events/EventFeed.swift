internal import MemslotProtocol
internal import Memslots
internal import Synchronization

/// The last published state of a VM's table, and the connections that follow its events.
///
/// An observer of the table publishes here, inside its transactions. Nothing here waits for a
/// transaction, so reading a VM and following it never do.
final class EventFeed: Sendable {
    /// The table after the last event.
    struct Published: Sendable {
        var generation: Generation
        var array: MemslotArray
        var failure: TableFailure?
        var privateRanges = GuestRangeSet()

        /// What counts among the slots of the user.
        var heldCount: Int { array.count + privateRanges.count }

        var slots: [Memslot] { failure?.installed ?? array.slots }

        var installedRanges: GuestRangeSet {
            var ranges = privateRanges
            ranges.apply(failure?.attributes ?? [])
            return ranges
        }
    }

    private struct State {
        var published = Published(generation: Generation(0), array: .empty, failure: nil)
        var hasBegun = false
        var followers: [UInt64: EventQueue] = [:]
        var isClosed = false
        /// Counts the slots that an array which is being submitted adds.
        var reserve: BudgetCharge?
    }

    /// Identifies this feed's lines in a queue.
    let number: UInt64
    private let memory: VMMemory
    private let account: UserAccount
    private let metrics: Metrics
    private let audience: TableAudience
    private let state: Locked<State>

    private static let lastNumber = Atomic<UInt64>(0)

    init(memory: VMMemory, account: UserAccount, metrics: Metrics, audience: TableAudience) {
        number = Self.lastNumber.add(1, ordering: .relaxed).newValue
        (self.memory, self.account) = (memory, account)
        (self.metrics, self.audience) = (metrics, audience)
        state = Locked(State())
    }

    /// Publishes the state when the table's observer was added, unless a newer one was published.
    func begin(with snapshot: TableSnapshot, failure: TableFailure?) {
        state.withLock { state in
            guard !state.hasBegun else { return }
            state.hasBegun = true
            state.published = Published(
                generation: snapshot.generation, array: snapshot.array, failure: failure,
                privateRanges: snapshot.privateSet)
            account.addSlots(state.published.heldCount)
        }
    }

    deinit { account.addSlots(-state.withLock { $0.published.heldCount }) }

    /// Charges what a submit adds to the slots and private ranges, before it is executed: others
    /// submit too.
    func reserveSlots(for parameters: SubmitParameters) throws(ProtocolError) {
        try state.withLock { state throws(ProtocolError) in
            let more = state.published.count(addedBy: parameters)
            guard more > 0 else { return }
            state.reserve = try account.budgets.slots.charged(more, to: account.user)
        }
    }

    /// Releases what was charged for an array that was not committed.
    func releaseReserve() { state.withLock { $0.reserve = nil } }

    /// The table, and the names of its slots' memory.
    var published: (table: Published, names: SlotNames) {
        // Under the lock: no object is removed before the removal of its last slot is published.
        state.withLock { ($0.published, memory.names) }
    }

    /// A Boolean value that indicates whether the VM exists.
    var isOpen: Bool { state.withLock { !$0.isClosed } }

    /// Publishes an event of the table. It is encoded once for all followers.
    func publish(_ event: TableEvent) {
        metrics.count(event)
        account.metrics.count(event)
        let count = state.withLock { state in
            let before = state.published.heldCount
            let failure = state.published.failure
            state.published.apply(event)
            account.addSlots(state.published.heldCount - before)
            if case .committed = event {
                state.hasBegun = true
                state.reserve = nil
            }
            guard !state.followers.isEmpty else { return 0 }
            let line = EventLine.of(event, failure: failure, state.published, memory.names)
            // Inside the lock, so that no event is lost or repeated after a snapshot.
            for queue in state.followers.values { queue.enqueue(line, of: number) }
            return state.followers.count
        }
        account.metrics.add(.events, count)
        audience.send(event, vm: memory.vm, user: account.user)
    }

    /// Puts later events into `queue`. Returns the snapshot before them; `nil` for a destroyed VM.
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

    /// Sends followers a notification that is no event of the table.
    func announce(_ line: [UInt8]) {
        let count = state.withLock { state in
            // Without this feed's number: a new snapshot does not replace it, so it stays queued.
            for queue in state.followers.values { queue.enqueue(line) }
            return state.followers.count
        }
        account.metrics.add(.events, count)
    }

    /// The queues of the followers, by connection.
    var followers: [UInt64: EventQueue] { state.withLock { $0.followers } }

    func unfollow(_ connection: UInt64) {
        state.withLock { _ = $0.followers.removeValue(forKey: connection) }
    }

    /// Sends followers the end of the VM, and nothing after that.
    func close() {
        state.withLock { state in
            guard !state.isClosed else { return }
            state.isClosed = true
            let line = EventLine.destroyed(memory.vm)
            for queue in state.followers.values { queue.enqueue(line, of: number) }
            state.followers = [:]
        }
    }
}

extension EventFeed.Published {
    /// How many more slots and private ranges a submit would leave; may be negative.
    func count(addedBy parameters: SubmitParameters) -> Int {
        let ranges = parameters.attributes?.count ?? privateRanges.count
        return parameters.slots.count + ranges - heldCount
    }

    fileprivate mutating func apply(_ event: TableEvent) {
        switch event {
        case .committed(let receipt, _, let array):
            (generation, self.array) = (receipt.generation, array)
            privateRanges.apply(receipt.attributes)
        case .rolledBack, .retired: break
        case .failed(let failure, _): self.failure = failure
        case .recovered: failure = nil
        }
    }
}

/// The function that receives the events of all tables, besides the subscribers.
final class TableAudience: Sendable {
    typealias Observer = @Sendable (_ event: TableEvent, _ vm: String, _ user: UInt32) -> Void

    /// Each access to a closure through a generic `inout` wraps it once more, even if it only reads,
    /// until a call overflows the stack. In a structure the closure is not wrapped.
    private struct Box: Sendable { let observer: Observer }

    private let box = Locked<Box?>(nil)

    func set(_ observer: @escaping Observer) { box.withLock { $0 = Box(observer: observer) } }

    func send(_ event: TableEvent, vm: String, user: UInt32) {
        box.withLock { $0 }?.observer(event, vm, user)
    }
}
