internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

/// A VM by name: its table, what carries it, its memory, and who follows it.
final class VirtualMachine: Sendable {
    let name: String
    /// Whose it is.
    let account: UserAccount
    /// The connection that the VM ends with; `nil` for one that stays.
    let ephemeralConnection: UInt64?
    let table: MemslotTable
    /// The simulator, for what only it can do; `nil` for a KVM VM.
    let simulator: SimulatedBackend?
    /// Where a KVM VM's guest_memfds come from; `nil` for another VM.
    let guestMemfds: KVMGuestMemfds?
    let memory: VMMemory
    let feed: EventFeed
    /// Its place in the state; `nil` for a VM that ends with this process.
    let kept: KeptVM?
    /// What is told of a VM that another process has; `nil` for another VM.
    let observed: ObservedVM?
    let metrics: Metrics
    /// Held by whoever changes which memory the slots use: a submit, or the end of an object.
    let changes = Monitor()
    private let observation: Observation

    /// A VM that this process serves.
    ///
    /// - Throws: where the table can't be observed from here.
    init(
        _ table: MemslotTable, simulator: SimulatedBackend?, guestMemfds: KVMGuestMemfds? = nil,
        memory: VMMemory, account: UserAccount, audience: TableAudience,
        ephemeralConnection: UInt64? = nil, kept: KeptVM? = nil, observed: ObservedVM? = nil
    ) throws(ReentryError) {
        self.observed = observed
        self.kept = kept
        name = memory.vm
        self.account = account
        self.table = table
        self.simulator = simulator
        self.guestMemfds = guestMemfds
        self.memory = memory
        self.ephemeralConnection = ephemeralConnection
        metrics = Metrics()
        let feed = EventFeed(
            memory: memory, account: account, metrics: metrics, audience: audience)
        let (snapshot, observation) = try table.observe { event in
            feed.tell(observed?.truth(of: event) ?? event)
        }
        feed.begin(with: snapshot, failure: table.failure)
        self.feed = feed
        // Readers may outlive a VM that is destroyed; the memory of an embedder's is its own matter.
        if !memory.isEmbedded { table.keep(memory) }
        self.observation = observation
    }

    /// The last `count` receipts, oldest first.
    func history(last count: Int) -> [Receipt] {
        let receipts = table.history(last: count)
        guard let observed else { return receipts }
        return receipts.map { observed.truth(of: $0) }
    }

    /// What carries it, by its name on the wire.
    var backendName: String { simulator == nil ? "kvm" : "simulated" }

    /// Whether a slot of the VM is backed by `object`, or one of an array that a reader is still in.
    func uses(_ object: MemoryObject) -> Bool {
        // The present one first: where that is replaced meanwhile, it is found among the older.
        let present = table.read { $0.array.slots }
        let arrays =
            [present, table.failure?.installed ?? []] + table.unretiredArrays.map(\.slots)
        return arrays.joined().contains { slot in
            if slot.memory?.object == object.id { return true }
            guard case .guestMemfd(let handle) = object.kind else { return false }
            return slot.guestMemfd?.descriptor == handle
        }
    }
}
