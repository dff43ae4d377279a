internal import CReading

/// One transaction: executes what the machine decides, and reports the results to it.
///
/// Each step is a function in a file that has the step in its name.
struct TransactionRun {
    /// What the table lends to its transaction.
    struct Surroundings {
        let backend: any MemslotBackend
        let pair: ArrayPair
        let vcpus: any VCPUHold
        let hooks: [any MemslotHook]
        let transactionHooks: [any TransactionHook]
    }

    let surroundings: Surroundings
    /// The slots that are installed at the beginning.
    let before: [Memslot]
    let target: [Memslot]
    let plan: Plan
    /// The private ranges afterwards; empty in a recovery, which builds no array.
    let privateRanges: GuestRangeSet
    /// The changes of memory attributes, which follow the slot calls for which vCPUs are held.
    let attributes: [MemoryAttributeChange]
    private let callsBeforeAttributes: Int
    /// Not `nil` where there are attributes: validation refuses ranges that a backend can't have.
    lazy var attributeBackend = surroundings.backend as? any MemoryAttributeBackend
    /// The changes that hooks get; empty without hooks.
    let changes: [MemslotChange]
    /// What hooks get that receive the transaction as a whole; `nil` without such.
    let whole: TransactionChanges?
    let quiesceDeadline: Duration
    /// Whether vCPUs are held out from the drain on.
    let quiesces: Bool
    /// Where the plan's head, middle and tail begin, and its end.
    let starts: [Int]
    let isRecovery: Bool

    var machine: TransactionMachine
    /// The number of operations and attributes, from the first on, that are applied and not undone.
    var applied = 0
    var harvest: [Harvested] = []
    var isHolding = false
    /// Whether all vCPUs are out.
    private var areHeld = false
    /// Whether the guest has run between operations for which it was held and later ones.
    var hasResumed = false
    /// The vCPUs that were still inside at a deadline.
    var notHeld: [String] = []
    var blackoutStart: UInt64 = 0
    var lastBlackout: UInt64 = 0
    var applyStart: UInt64 = 0
    var times = Receipt.Durations.Nanoseconds()
    /// The dirty bits that the table keeps.
    var overlay: DirtyOverlay
    /// After a commit: registered readers that have not left an old array.
    var readers: [String] = []
    /// After a failure: what is really installed.
    var installed: [Memslot]?

    init(
        _ wanted: WantedArray, from before: MemslotArray, options: SubmitOptions,
        overlay: DirtyOverlay, in surroundings: Surroundings
    ) {
        let (hold, count) = (wanted.hold, wanted.plan.operations.count)
        plan = wanted.plan
        (privateRanges, attributes) = (wanted.privateRanges, wanted.attributes)
        callsBeforeAttributes = count - hold.tail
        (self.before, target) = (before.slots, wanted.slots)
        (self.surroundings, self.overlay) = (surroundings, overlay)
        quiesceDeadline = options.quiesceDeadline
        let hasHooks = !surroundings.hooks.isEmpty || !surroundings.transactionHooks.isEmpty
        changes = hasHooks ? plan.changes : []
        whole =
            surroundings.transactionHooks.isEmpty
            ? nil
            : TransactionChanges(
                changes: changes, before: before.slots, after: target,
                deadline: .after(options.quiesceDeadline))
        quiesces = hold.reason != nil
        let all = count + attributes.count
        starts = [0, hold.head, all - hold.tail, all]
        isRecovery = false
        machine = TransactionMachine(
            steps: changes.count * surroundings.hooks.count + surroundings.transactionHooks.count,
            operations: all, holdsVCPUs: quiesces, head: hold.head, tail: hold.tail)
    }

    /// The recovery of a failed table, from what is installed to the active array, and `attributes`.
    init(
        recovering installed: [Memslot], to active: MemslotArray,
        _ attributes: [MemoryAttributeChange], overlay: DirtyOverlay, in surroundings: Surroundings
    ) {
        plan = Plan(MemslotDiff(from: installed, to: active.slots))
        (before, target) = (installed, active.slots)
        (self.surroundings, self.overlay) = (surroundings, overlay)
        quiesceDeadline = SubmitOptions.defaultQuiesceDeadline
        (changes, whole, quiesces) = ([], nil, true)
        (privateRanges, self.attributes) = (GuestRangeSet(), attributes)
        callsBeforeAttributes = plan.operations.count
        starts = [0, plan.operations.count + attributes.count]
        isRecovery = true
        machine = TransactionMachine(recoveryOf: starts[1])
    }

    /// The table's number in probes.
    private var table: UInt64 { UInt64(UInt(bitPattern: ObjectIdentifier(surroundings.pair))) }

    /// The place in the plan of the call that the machine numbers `index`; `nil` for an attribute.
    func place(_ index: Int) -> Int? {
        if index < callsBeforeAttributes { return index }
        let place = index - attributes.count
        return place < callsBeforeAttributes ? nil : place
    }

    /// Either the slot call or the attribute that the machine numbers `index`.
    func call(_ index: Int) -> SlotCall? { place(index).map { plan.operations[$0].call } }
    func attribute(_ index: Int) -> MemoryAttributeChange? {
        place(index) == nil ? attributes[index - callsBeforeAttributes] : nil
    }

    /// The changes of attributes that are applied and not undone.
    var appliedAttributes: ArraySlice<MemoryAttributeChange> {
        attributes.prefix(max(applied - callsBeforeAttributes, 0))
    }

    mutating func run() -> TransactionMachine.Outcome {
        if !isRecovery {
            creading_probe_submit(table, UInt64(plan.operations.count))
            surroundings.backend.beginTransaction()
        }
        var action = machine.next(after: .done)
        while true {
            switch action {
            case .complete(let outcome): return outcome
            case .exclusive: action = runExclusively()
            default: action = machine.next(after: execute(action))
            }
        }
    }

    /// Executes actions under the vCPU barrier until vCPUs are to go on.
    private mutating func runExclusively() -> TransactionMachine.Action {
        if isRecovery { surroundings.backend.beginTransaction() }
        var action = machine.next(after: .done)
        surroundings.vcpus.exclusively {
            while action != .release, action != .resume {
                action = machine.next(after: execute(action))
            }
        }
        return action
    }

    /// Performs an action, and fires its probe.
    private mutating func execute(_ action: TransactionMachine.Action) -> TransactionMachine.Event {
        let event = perform(action)
        switch (action, event) {
        case (.drain, .done) where isHolding, (.hold, .done):
            areHeld = true
            creading_probe_hold(table, blackoutStart)
        case (.apply(let index), _), (.undo(let index), _):
            var errno = Errno(rawValue: 0)
            if case .refused(let error) = event { errno = error }
            guard let call = call(index) else { break }
            creading_probe_call(table, UInt64(call.key.kernelWord), UInt64(errno.rawValue))
        case (.swap, _): creading_probe_swap(table, surroundings.pair.current.generation.rawValue)
        case (.release, _) where areHeld && !isHolding, (.resume, _):
            areHeld = false
            creading_probe_release(table, lastBlackout)
        default: break
        }
        return event
    }

    private mutating func perform(_ action: TransactionMachine.Action) -> TransactionMachine.Event {
        switch action {
        case .prepare(let step): return timed(\.prepare) { $0.prepare(step) }
        case .build: build()
        case .drain: return timed(\.quiesce) { $0.drain() }
        case .harvest: return timed(\.harvest) { $0.harvestEndingLogs() }
        case .apply(let index): return timedApply(index)
        case .resume: resume()
        case .hold: return hold()
        case .undo(let index): return undo(index)
        case .restoreDirtyBits: restoreDirtyBits()
        case .fail:
            restoreDirtyBits()
            emptyLogsOfFailure()
            installed = installation.slots
        case .commit(let step): commit(step)
        case .swap: swap()
        case .release: release()
        case .finish(let step): finish(step)
        case .retire: retire()
        case .abort(let step): abort(step)
        case .exclusive, .complete: preconditionFailure("handled by the loops")
        }
        return .done
    }

    private mutating func timed(
        _ time: WritableKeyPath<Receipt.Durations.Nanoseconds, UInt64>,
        _ body: (inout TransactionRun) -> TransactionMachine.Event
    ) -> TransactionMachine.Event {
        let start = monotonicNow()
        let event = body(&self)
        times[keyPath: time] += monotonicNow() - start
        return event
    }
}
