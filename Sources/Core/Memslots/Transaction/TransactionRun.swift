/// Carries one transaction out: does what the machine decides, and tells it what came of it.
struct TransactionRun {
    /// What the table lends to its transaction.
    struct Surroundings {
        let backend: any MemslotBackend
        let pair: ArrayPair
        let vcpus: any VCPUHold
        let hooks: [any MemslotHook]
    }

    let surroundings: Surroundings
    let before: MemslotArray
    let target: [Memslot]
    let plan: Plan
    /// What hooks are told of; empty where there is none.
    let changes: [MemslotChange]
    let quiesceDeadline: Duration
    /// Whether vCPUs are held out from the drain on.
    let quiesces: Bool

    var machine: TransactionMachine
    /// How many operations, from the first on, are carried out and not taken back.
    var applied = 0
    var harvest: [Harvested] = []
    var built: MemslotArray?
    var isHolding = false
    var blackoutStart: UInt64 = 0
    var applyStart: UInt64 = 0
    var times = Receipt.Durations.Nanoseconds()
    /// The dirty bits that the table keeps.
    var overlay: DirtyOverlay
    /// After a commit: registered readers that have not left an old array.
    var readers: [String] = []
    /// After a failed undo: what is really installed.
    var installed: [Memslot]?

    init(
        _ plan: Plan, from before: MemslotArray, to target: [Memslot], options: SubmitOptions,
        overlay: DirtyOverlay, in surroundings: Surroundings
    ) {
        self.plan = plan
        self.before = before
        self.target = target
        self.surroundings = surroundings
        self.overlay = overlay
        quiesceDeadline = options.quiesceDeadline
        changes = surroundings.hooks.isEmpty ? [] : plan.changes
        quiesces =
            plan.needsQuiescence || options.quiesce == .always
            || surroundings.hooks.contains(where: \.needsQuiescence)
        machine = TransactionMachine(
            steps: changes.count * surroundings.hooks.count,
            operations: plan.operations.count, holdsVCPUs: quiesces)
    }

    /// Runs the transaction to its end.
    mutating func run() -> TransactionMachine.Outcome {
        surroundings.backend.beginTransaction()
        var action = machine.event(.done)
        while true {
            switch action {
            case .complete(let outcome): return outcome
            case .exclusive: action = runExclusively()
            default: action = perform(action)
            }
        }
    }

    /// The dirty pages that no slot of the new array can take, after a commit.
    mutating func settleDirtyBits() -> [DirtyPages] { overlay.carry(harvest, to: target) }

    /// Goes on under the vCPU barrier until the gates are to be opened.
    private mutating func runExclusively() -> TransactionMachine.Action {
        var action = machine.event(.done)
        surroundings.vcpus.exclusively {
            while action != .release { action = perform(action) }
        }
        return action
    }

    private mutating func perform(
        _ action: TransactionMachine.Action
    ) -> TransactionMachine.Action {
        machine.event(carryOut(action))
    }

    private mutating func carryOut(
        _ action: TransactionMachine.Action
    ) -> TransactionMachine.Event {
        switch action {
        case .prepare(let step): return timed(\.prepare) { $0.prepare(step) }
        case .build: surroundings.pair.build(target)
        case .drain: return timed(\.quiesce) { $0.drain() }
        case .harvest: return timed(\.harvest) { $0.readEndingLogs() }
        case .apply(let index): return timedApply(index)
        case .hold: return hold()
        case .undo(let index): return undo(index)
        case .restoreDirtyBits: restoreDirtyBits()
        case .fail:
            restoreDirtyBits()
            emptyLogsOfFailure()
            installed = installation.slots
        case .commit(let step): hook(step).commit(change(step))
        case .swap: surroundings.pair.swap()
        case .release: release()
        case .finish(let step): hook(step).finish(change(step))
        case .retire: retire()
        case .abort(let step): hook(step).abort(change(step))
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
