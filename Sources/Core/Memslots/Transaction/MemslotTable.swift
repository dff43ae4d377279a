/// The memory of one VM: the whole memslot array, changed in transactions.
///
/// A submit passes the complete array. Afterwards the VM has exactly that array, or exactly the
/// one before, and the result says which. Call everything from any thread. Submits of one table run
/// one after the other: each on its caller's thread, or, if it had to wait, on that of a caller
/// before it.
///
/// "Atomic" always says for whom. A guest vCPU that enters through ``VCPUGate`` never runs while
/// the table is half changed. A reader in this process sees the old or the new array. Whatever
/// else maps guest memory is kept in step by hooks.
public final class MemslotTable: Sendable {
    /// The limits that an array is validated against.
    public let capabilities: Capabilities
    /// How vCPUs are held out; a gate of the table's own unless one was given.
    public let vcpus: any VCPUHold

    package let backend: any MemslotBackend
    let pair: ArrayPair
    let domain: RoleDomain
    let limits: TableLimits
    let submissions = SubmissionThread()
    // Seen by a test that waits for others to wait.
    let transactions = CombiningQueue()
    private let shared: Locked<Shared>
    private let receipts: ReceiptHistory

    // Only touched inside `transactions`.
    nonisolated(unsafe) var overlay: DirtyOverlay

    /// What may be read while a transaction runs.
    private struct Shared {
        var failure: TableFailure?
        /// Whether a failure keeps vCPUs out; an embedder may let them go.
        var failureHoldsVCPUs = false
        /// What was installed when it let them go first; `nil` if they were held all the time.
        var installedAtRelease: [Memslot]?
        var hooks: [any MemslotHook] = []
        var transactionHooks: [any TransactionHook] = []
        var observers: [UInt64: @Sendable (TableEvent) -> Void] = [:]
        var nextObserver: UInt64 = 0
    }

    /// Opens a table on a VM that has no slots and private ranges, or exactly those given.
    ///
    /// - Parameters:
    ///   - backend: applies the operations; used by this table alone.
    ///   - installed: what the VM has, at `generation`. Validated like a submitted array; each
    ///     slot must have its id.
    ///   - privateRanges: what is private in the VM, as in ``SubmitOptions/privateRanges``. A range that
    ///     is missing here is shared after a rollback that touches it.
    ///   - vcpus: how vCPUs are held out; a ``VCPUGate`` by default.
    ///   - limits: how much is kept and listed.
    ///   - generation: the first generation, for a VM that had a table before.
    ///   - receiptBudget: bounds the memory of the receipts that are kept, with those of other tables.
    /// - Throws: ``InvalidArray`` if these can't be what the VM has.
    public init(
        backend: any MemslotBackend, installed: [Memslot] = [], vcpus: any VCPUHold = VCPUGate(),
        limits: TableLimits = TableLimits(), generation: Generation = Generation(0),
        receiptBudget: ReceiptBudget = ReceiptBudget(), privateRanges: [GuestRange] = []
    ) throws(InvalidArray) {
        var capabilities = backend.capabilities
        if !(backend is any MemoryAttributeBackend) { capabilities.memoryAttributes = false }
        self.capabilities = capabilities
        overlay = DirtyOverlay(pageSize: backend.capabilities.pageSize)
        var validator = ArrayValidator(
            slots: installed, capabilities: capabilities, prior: [], requiresIDs: true)
        validator.rangeFaults = capabilities.faults(ofPrivate: privateRanges)
        if let faults = validator.faults(limit: limits.violations) { throw faults }
        (self.backend, self.vcpus, self.limits) = (backend, vcpus, limits)
        domain = (vcpus as? VCPUGate)?.domain ?? RoleDomain()
        pair = ArrayPair(
            MemslotArray(sortedByKey: installed.sortedByKey()), generation: generation,
            privateRanges: GuestRangeSet(privateRanges))
        shared = Locked(Shared())
        receipts = ReceiptHistory(limit: limits.receipts, receiptBudget)
        pair.readers.setLateLeaveHandler { [weak self] in self?.retireLeftArrays() }
    }

    /// The gate through which vCPU threads enter the guest; `nil` if the VMM has its own
    /// ``VCPUHold``.
    public var vcpuGate: VCPUGate? { vcpus as? VCPUGate }

    /// The failure, if undoing a transaction failed and the table has not recovered.
    public var failure: TableFailure? { shared.withLock { $0.failure } }

    /// The last `count` receipts, oldest first.
    public func history(last count: Int = .max) -> [Receipt] { receipts.last(max(0, count)) }

    /// Adds a hook, for transactions that begin from now on. Hooks are called in the order added.
    /// The hook does not receive the slots that the table has already: read them from a snapshot.
    public func add(_ hook: any MemslotHook) { shared.withLock { $0.hooks.append(hook) } }

    /// Removes a hook, for transactions that begin from now on.
    public func remove(_ hook: any MemslotHook) {
        // Released outside of the lock: it may hold an observation of this table.
        _ = shared.withLock { shared in
            defer { shared.hooks.removeAll { $0 === hook } }
            return shared.hooks
        }
    }

    /// Adds a hook that receives whole transactions. It begins with the present array, and receives
    /// every transaction after that.
    ///
    /// - Throws: the reason why the hook can't begin; or a veto of the table's, from inside a hook,
    ///   an observer, a reader or the vCPU gate.
    public func add(_ hook: any TransactionHook) throws(HookVeto) {
        try serially({ HookVeto($0.message) }) { () throws(HookVeto) in
            try hook.begin(with: pair.current)
            shared.withLock { $0.transactionHooks.append(hook) }
        }
    }

    /// Removes a hook that receives whole transactions, for those that begin from now on.
    public func remove(_ hook: any TransactionHook) {
        // Released outside of the lock, as above.
        _ = shared.withLock { shared in
            defer { shared.transactionHooks.removeAll { $0 === hook } }
            return shared.transactionHooks
        }
    }

    /// Adds an observer, which gets every event after the snapshot that this returns.
    ///
    /// - Parameter observer: called in order, on the thread that executes the submit, before that
    ///   returns; must be short. It may read the table, not submit.
    /// - Returns: the table as it is now, and the observation, which ends by
    ///   ``Observation/cancel()`` or when it is released.
    /// - Throws: ``ReentryError`` from inside a hook, an observer, a reader or the vCPU gate.
    public func observe(
        _ observer: @escaping @Sendable (TableEvent) -> Void
    ) throws(ReentryError) -> (snapshot: TableSnapshot, observation: Observation) {
        try serially {
            let number = shared.withLock { shared in
                shared.nextObserver += 1
                shared.observers[shared.nextObserver] = observer
                return shared.nextObserver
            }
            let observation = Observation { [weak self] in
                // Released outside of the lock: it may hold another observation of this table.
                _ = self?.shared.withLock { $0.observers.removeValue(forKey: number) }
            }
            return (pair.current, observation)
        }
    }

    /// Runs `body` as the only transaction of this table, perhaps on the thread of another call.
    ///
    /// - Parameters:
    ///   - reentrant: makes the error of a call from inside a callback.
    ///   - deadline: until when it may wait for others.
    ///   - late: makes the error of a call that waited until then; `body` has not run.
    func serially<R, E: Error>(
        _ reentrant: (ReentryError) -> E, until deadline: Deadline = .never, late: E? = nil,
        _ body: () throws(E) -> R
    ) throws(E) -> R {
        if let role = domain.innermostRole {
            throw reentrant(ReentryError(role, tried: .transaction))
        }
        if pair.readers.isInside { throw reentrant(ReentryError(.reader, tried: .transaction)) }
        var result: Result<R, E>?
        let hasRun = Scheduling.section(.serial, of: transactions) {
            // A thread inside a callback of another table would execute the sections of others there.
            transactions.run(until: deadline, mayCombine: !RoleDomain.isInsideAny) {
                domain.with(.transaction) { result = Result(catching: body) }
            }
        }
        if !hasRun, let late { throw late }
        guard let result else { preconditionFailure("without a deadline it runs") }
        return try result.get()
    }

    /// Runs `body`, which can't fail by itself, as the only transaction of this table.
    func serially<R>(_ body: () -> R) throws(ReentryError) -> R {
        try serially({ (error: ReentryError) in error }) { () throws(ReentryError) in body() }
    }

    /// Lets each submit run on its caller's thread, as callbacks of other languages need, and wait
    /// for others without a limit. Call it before the first submit.
    package func keepSubmitsOnTheirThreads() { transactions.combines = false }

    var hooks: [any MemslotHook] { shared.withLock { $0.hooks } }
    var transactionHooks: [any TransactionHook] { shared.withLock { $0.transactionHooks } }

    /// Drops the receipts of submits that only brought the table to where it was before.
    package func dropHistory() { receipts.removeAll() }

    func record(_ receipt: Receipt) { receipts.append(receipt) }

    /// Records a failure, with vCPUs held out.
    func record(_ failure: TableFailure) {
        shared.withLock { shared in
            shared.failure = failure
            shared.failureHoldsVCPUs = true
        }
    }

    /// - Returns: what was installed when vCPUs were released first; `nil` if they were held.
    func recordRecovery() -> Set<Memslot>? {
        shared.withLock { shared in
            defer { (shared.failure, shared.installedAtRelease) = (nil, nil) }
            return shared.installedAtRelease.map { Set($0) }
        }
    }

    /// Records whether a failure keeps vCPUs out.
    ///
    /// - Returns: whether it did until now.
    func failureHoldsVCPUs(_ holds: Bool) -> Bool {
        shared.withLock { shared in
            defer { shared.failureHoldsVCPUs = holds }
            if !holds, shared.installedAtRelease == nil {
                shared.installedAtRelease = shared.failure?.installed
            }
            return shared.failureHoldsVCPUs
        }
    }

    /// Calls every observer, in the order in which they were added.
    func publish(_ event: TableEvent) {
        let observers = shared.withLock { $0.observers.sorted { $0.key < $1.key } }
        for observer in observers { observer.value(event) }
    }
}

/// How much a table keeps and lists.
public struct TableLimits: Hashable, Sendable {
    /// Faults listed of one array; all are counted.
    public var violations: Int
    /// Receipts kept. Fewer are, where their ``ReceiptBudget`` has no room for more.
    public var receipts: Int

    /// Limits; 1,024 of each by default.
    public init(violations: Int = 1_024, receipts: Int = 1_024) {
        (self.violations, self.receipts) = (violations, receipts)
    }
}
