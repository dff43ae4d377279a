internal import MemslotProtocol
internal import MemslotSimulator
internal import Memslots

/// A VM by name: its table, its backend, its memory, and its subscribers.
final class VirtualMachine: Sendable {
    let name: String
    let account: UserAccount
    /// The connection that the VM ends with; `nil` for a permanent VM.
    let ephemeralConnection: UInt64?
    let table: MemslotTable
    /// The simulator; `nil` for a KVM VM.
    let simulator: SimulatedBackend?
    /// Creates the guest_memfds of a KVM VM; `nil` for another VM.
    let guestMemfds: KVMGuestMemfds?
    let memory: VMMemory
    let feed: EventFeed
    /// Its place in the state; `nil` for a VM that ends with this process.
    let kept: StoredVM?
    /// The changes that another process reports of its VM; `nil` for a VM of this process.
    let observed: ObservedVM?
    let metrics: Metrics
    /// Counts the dirty bits that this process keeps.
    let dirty: DirtyCharge
    /// Counts what the kernel allocates for its slots.
    let kernel: KernelCharge
    /// Held while the memory of the slots changes: by a submit, or by the end of an object.
    ///
    /// Not of `Void`: ThreadSanitizer attributes an access to a value without a size to its neighbour.
    let changes = Locked(false)
    private let observation: Observation
    /// The back ends that follow the table, in the order in which they were attached.
    let observers = Locked<[AttachedObserver]>([])

    /// A VM that this process serves. Throws `invalid-request` if this is called from a callback of
    /// the table.
    init(
        _ table: MemslotTable, simulator: SimulatedBackend?, guestMemfds: KVMGuestMemfds? = nil,
        memory: VMMemory, account: UserAccount, audience: TableAudience,
        ephemeralConnection: UInt64? = nil, kept: StoredVM? = nil, observed: ObservedVM? = nil
    ) throws(ProtocolError) {
        (self.observed, self.kept) = (observed, kept)
        name = memory.vm
        (self.account, self.table) = (account, table)
        (self.simulator, self.guestMemfds) = (simulator, guestMemfds)
        (self.memory, self.ephemeralConnection) = (memory, ephemeralConnection)
        metrics = Metrics()
        // The slots of another process's VM are that process's own.
        kernel = KernelCharge(account, memory.isEmbedded ? nil : table.capabilities.kernelMemory)
        dirty = DirtyCharge(
            account, isSimulated: simulator != nil, pageSize: table.capabilities.pageSize)
        let feed = EventFeed(memory: memory, account: account, metrics: metrics, audience: audience)
        self.feed = feed
        let snapshot: TableSnapshot
        (snapshot, observation) = try converting(
            { (error: ReentryError) in ProtocolError(.invalidRequest, error.message) },
            table.observe { feed.publish(observed?.asObserved($0) ?? $0) })
        feed.begin(with: snapshot, failure: table.failure)
        // Readers may outlive a destroyed VM. The memory of an embedded VM belongs to its process.
        if !memory.isEmbedded { table.retain(memory) }
    }

    /// A VM of this process as a request describes it, with an empty array of `generation`.
    convenience init(
        _ parameters: VMCreateParameters, of user: UInt32, in service: MemslotService,
        generation: Generation = Generation(0), ephemeralConnection: UInt64? = nil, kept: StoredVM?
    ) throws(ProtocolError) {
        let made = try service.backends.make(parameters.backend, simulated: parameters.simulated)
        let limits = TableLimits(
            violations: service.limits.violations, receipts: service.limits.receipts)
        let account = service.registry.withLock { $0.account(of: user) }
        let table = try converting(
            { (error: InvalidArray) in ProtocolError(.invalidRequest, error.message) },
            MemslotTable(
                backend: made.backend, limits: limits, generation: generation,
                receiptBudget: account.receipts))
        table.keepSubmitsOnTheirThreads()
        try self.init(
            table, simulator: made.simulator, guestMemfds: made.guestMemfds,
            memory: VMMemory(
                vm: parameters.vm,
                hasRawAddresses: made.simulator != nil || service.allowsRawAddresses),
            account: account, audience: service.audience,
            ephemeralConnection: ephemeralConnection, kept: kept)
    }

    /// The last `count` receipts, oldest first.
    func history(last count: Int) -> [Receipt] {
        let receipts = table.history(last: count)
        guard let observed else { return receipts }
        return receipts.map { observed.asObserved($0) }
    }

    var backendName: String { simulator == nil ? "kvm" : "simulated" }

    /// Whether `object` backs a slot of the VM, or of an older array that a reader still uses.
    func uses(_ object: MemoryObject) -> Bool {
        // The present array first: if it is replaced meanwhile, the older arrays contain it.
        let present = table.read { $0.array.slots }
        let arrays = [present, table.failure?.installed ?? []] + table.unretiredArrays.map(\.slots)
        return arrays.joined().contains { slot in
            if slot.memory?.object == object.id { return true }
            guard case .guestMemfd(let handle, _) = object.kind else { return false }
            return slot.guestMemfd?.descriptor == handle
        }
    }
}
