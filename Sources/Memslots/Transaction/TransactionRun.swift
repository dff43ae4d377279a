/// Carries one transaction out: does what the machine decides, and tells it what came of it.
struct TransactionRun {
    /// What the table lends to its transaction.
    struct Surroundings {
        let backend: any MemslotBackend
        let pair: ArrayPair
        let vcpus: any VCPUHold
        let hooks: [any MemslotHook]
    }

    private let surroundings: Surroundings
    private let before: MemslotArray
    private let target: [Memslot]
    private let plan: Plan
    private let deadlineMilliseconds: UInt64
    /// Whether vCPUs are held out from the drain on.
    let quiesces: Bool

    private var machine: TransactionMachine
    private var journal: SlotJournal
    private var harvest: [Harvested] = []
    private var built: MemslotArray?
    private var isHolding = false
    private var blackoutStart: UInt64 = 0
    private(set) var times = Receipt.Nanoseconds()
    /// The dirty bits that the table keeps.
    private(set) var overlay: DirtyOverlay
    /// After a failed undo: what is really installed.
    private(set) var installed: [Memslot]?

    init(
        _ plan: Plan, from before: MemslotArray, to target: [Memslot], options: SubmitOptions,
        overlay: DirtyOverlay, in surroundings: Surroundings
    ) {
        self.plan = plan
        self.before = before
        self.target = target
        self.surroundings = surroundings
        self.overlay = overlay
        deadlineMilliseconds = options.quiesceDeadlineMilliseconds
        journal = SlotJournal(before.slots)
        quiesces =
            plan.needsQuiescence || options.quiesce == .always
            || surroundings.hooks.contains(where: \.needsQuiescence)
        machine = TransactionMachine(
            steps: plan.changes.count * surroundings.hooks.count,
            operations: plan.operations.count, holdsVCPUs: quiesces)
    }

    /// Runs the transaction to its end.
    mutating func run() -> TransactionMachine.Outcome {
        surroundings.backend.transactionBegins()
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
        case .build:
            let array = MemslotArray(sortedByKey: target)
            surroundings.pair.build(array)
        case .drain: return timed(\.quiesce) { $0.drain() }
        case .harvest: return timed(\.harvest) { $0.readEndingLogs() }
        case .apply(let index):
            return timed(\.apply) { $0.apply(index) }
        case .hold: return hold()
        case .undo(let index): return undo(index)
        case .restoreDirtyBits: restoreDirtyBits()
        case .fail:
            restoreDirtyBits()
            installed = journal.slots
        case .commit(let step): hook(step).commit(change(step))
        case .swap: surroundings.pair.swap()
        case .release: release()
        case .finish(let step): hook(step).finish(change(step))
        case .abort(let step): hook(step).abort(change(step))
        case .exclusive, .complete: preconditionFailure("handled by the loops")
        }
        return .done
    }

    private mutating func timed(
        _ time: WritableKeyPath<Receipt.Nanoseconds, UInt64>,
        _ body: (inout TransactionRun) -> TransactionMachine.Event
    ) -> TransactionMachine.Event {
        let start = monotonicNow()
        let event = body(&self)
        times[keyPath: time] += monotonicNow() - start
        return event
    }
}

// MARK: - Hooks

extension TransactionRun {
    /// The hook of `step`: each change is told to every hook before the next change.
    func hook(_ step: Int) -> any MemslotHook {
        surroundings.hooks[step % surroundings.hooks.count]
    }

    /// The change of `step`.
    func change(_ step: Int) -> MemslotChange {
        plan.changes[step / surroundings.hooks.count]
    }

    private func prepare(_ step: Int) -> TransactionMachine.Event {
        do throws(HookVeto) {
            try hook(step).prepare(change(step))
            return .done
        } catch {
            return .vetoed(TransactionMachine.Veto(reason: error.reason))
        }
    }
}

// MARK: - Gates

extension TransactionRun {
    /// Closes the gates and waits for both under one deadline.
    ///
    /// vCPUs first: one that is inside may still read, and whatever a VMM pauses in its own way
    /// may too. Only then readers, for whom no vCPU can wait any more.
    private mutating func drain() -> TransactionMachine.Event {
        let deadline = Deadline.after(milliseconds: deadlineMilliseconds)
        let (vcpus, readers) = (surroundings.vcpus, surroundings.pair.gate)
        let arrivals = readers.arrivals
        var staying = (vcpus: [String](), readers: [String]())
        if quiesces {
            isHolding = true
            blackoutStart = monotonicNow()
            vcpus.begin()
            staying.vcpus = vcpus.waitUntilHeld(deadline)
        }
        if staying.vcpus.isEmpty {
            readers.close()
            staying.readers = readers.waitUntilEmpty(deadline)
        } else {
            staying.readers = readers.staying(since: arrivals)
        }
        if staying.vcpus.isEmpty && staying.readers.isEmpty { return .done }
        release()
        return .timedOut(vcpus: staying.vcpus, readers: staying.readers)
    }

    /// Holds vCPUs out before the first undo of a plan that ran beside them.
    ///
    /// The array stays as it is, so that readers may go on; a vCPU that waited to read can leave.
    private mutating func hold() -> TransactionMachine.Event {
        surroundings.pair.gate.open()
        isHolding = true
        blackoutStart = monotonicNow()
        surroundings.vcpus.begin()
        let staying = surroundings.vcpus.waitUntilHeld(
            .after(milliseconds: deadlineMilliseconds))
        return staying.isEmpty ? .done : .timedOut(vcpus: staying, readers: [])
    }

    /// Opens the gates; that of the vCPUs stays closed where undoing failed.
    private mutating func release() {
        surroundings.pair.gate.open()
        guard isHolding, installed == nil else { return }
        surroundings.vcpus.end()
        isHolding = false
        times.blackout += monotonicNow() - blackoutStart
    }
}

// MARK: - Slots and their dirty logs

extension TransactionRun {
    private mutating func apply(_ index: Int) -> TransactionMachine.Event {
        let call = plan.operations[index].call
        do throws(Errno) {
            try surroundings.backend.carryOut(call)
        } catch {
            return .refused(error)
        }
        journal.note(call)
        return .done
    }

    private mutating func undo(_ index: Int) -> TransactionMachine.Event {
        let call = plan.operations[index].call.inverse
        do throws(Errno) {
            // A plan that ran beside the guest may have logged writes that other slots must tell.
            // With vCPUs held out from the beginning a new log can only hold what the kernel
            // began it with.
            if !quiesces, call.endsLogging, let slot = call.before {
                let bits = try surroundings.backend.readDirtyLog(of: slot, clear: false)
                _ = overlay.carry([Harvested(slot: slot, bits: bits)], to: before.slots)
            }
            try surroundings.backend.carryOut(call)
        } catch {
            return .refused(error)
        }
        journal.note(call)
        surroundings.backend.emptyNewLog(of: call)
        return .done
    }

    private mutating func readEndingLogs() -> TransactionMachine.Event {
        let ending = plan.operations.lazy.map(\.call).filter(\.endsLogging)
        guard !ending.isEmpty else { return .done }
        surroundings.backend.dirtyLogsWillBeRead()
        for call in ending {
            guard let slot = call.before else { continue }
            do throws(Errno) {
                let bits = try surroundings.backend.readDirtyLog(of: slot, clear: false)
                var kept = overlay.take(slot)
                kept.formUnion(bits)
                harvest.append(Harvested(slot: slot, bits: kept))
            } catch {
                return .refused(error)
            }
        }
        return .done
    }

    private mutating func restoreDirtyBits() {
        for item in harvest { overlay.add(item.bits, to: item.slot) }
        harvest = []
    }
}
