extension MemslotTable {
    /// Makes `slots` the VM's memory, all at once, or leaves it as it is.
    ///
    /// Blocks until the transaction has ended. Slots without an id get one: that of a present slot
    /// that can become it with the fewest operations, else the lowest that is free.
    ///
    /// - Parameters:
    ///   - slots: the complete array, in any order.
    ///   - options: compare-and-swap, and how vCPUs are held out.
    /// - Returns: what was done, and the slots with their ids.
    /// - Throws: why nothing was done; see ``SubmitError``.
    @discardableResult
    public func submit(
        _ slots: [Memslot], options: SubmitOptions = SubmitOptions()
    ) throws(SubmitError) -> Receipt {
        try submit(slots, options: options, prior: [])
    }

    /// Submits as the blocking `submit(_:options:)` does, for tasks: a thread of the table's own
    /// waits, never one of the task pool.
    ///
    /// That thread executes the submits of tasks in the order of their calls. One whose deadline comes
    /// while it waits for others is not executed; it throws when its turn comes.
    @discardableResult
    public func submit(
        _ slots: [Memslot], options: SubmitOptions = SubmitOptions()
    ) async throws(SubmitError) -> Receipt {
        let start = monotonicNow()
        let result: Result<Receipt, SubmitError> = await withCheckedContinuation { continuation in
            submissions.run(reportingWait: { [self] hasWaited in
                let result = Result { () throws(SubmitError) in
                    let waited = Duration.nanoseconds(Int64(clamping: monotonicNow() - start))
                    if hasWaited, transactions.combines, waited >= options.quiesceDeadline {
                        throw .quiesceTimeout(vcpus: [], readers: [])
                    }
                    return try submit(
                        slots, options: options, prior: [], since: hasWaited ? start : nil)
                }
                return { continuation.resume(returning: result) }
            })
        }
        return try result.get()
    }

    /// Returns the receipt that a submit would return, with nothing applied and no durations. Its
    /// ``Receipt/outcome`` is what the submit's would be.
    ///
    /// - Throws: as `submit(_:options:)`, except for what only applying can find. If a dirty log can't
    ///   be read it throws `.rolledBack`, although nothing was applied.
    public func plan(
        _ slots: [Memslot], options: SubmitOptions = SubmitOptions()
    ) throws(SubmitError) -> Receipt {
        try plan(slots, options: options, prior: [])
    }

    /// Submits an array in which the layer above has found the faults `prior`. The deadline runs from
    /// `start`, by default from now.
    package func submit(
        _ slots: [Memslot], options: SubmitOptions, prior: [Violation], since start: UInt64? = nil
    ) throws(SubmitError) -> Receipt {
        do throws(AdmissionError<Never>) {
            return try submit(slots, options: options, prior: prior, since: start) { _, _, _ in }
        } catch {
            switch error {
            case .notSubmitted(let error): throw error
            }
        }
    }

    /// Submits an array that the layer above must admit.
    ///
    /// - Parameter admit: called inside the transaction before anything is changed, unless the
    ///   array is the present one, with the generation and the slots to come, sorted by key, and the
    ///   private ranges. Its error ends the transaction.
    package func submit<Refusal: Error>(
        _ slots: [Memslot], options: SubmitOptions, prior: [Violation], since start: UInt64? = nil,
        admit: (Generation, [Memslot], [GuestRange]) throws(Refusal) -> Void
    ) throws(AdmissionError<Refusal>) -> Receipt {
        let start = start ?? monotonicNow()
        func left() -> Duration {
            options.quiesceDeadline - .nanoseconds(Int64(clamping: monotonicNow() - start))
        }
        let reentrant = { AdmissionError<Refusal>.notSubmitted(.reentrant($0)) }
        let late = AdmissionError<Refusal>.notSubmitted(.quiesceTimeout(vcpus: [], readers: []))
        // A service checks the array before the time, so it waits for others without a limit.
        let isLimited = transactions.combines
        return try serially(
            reentrant, until: isLimited ? .after(left()) : .never, late: late
        ) { () throws(AdmissionError<Refusal>) in
            // It has waited for others until now.
            let remaining = left()
            var options = options
            if isLimited { options.quiesceDeadline = remaining }
            let wanted = try converting(
                AdmissionError<Refusal>.notSubmitted,
                wantedArray(from: slots, options: options, prior: prior))
            guard !wanted.isUnchanged else { return unchanged(wanted, since: start) }
            try converting(
                AdmissionError<Refusal>.refused,
                admit(pair.current.generation.next, wanted.slots, wanted.privateRanges.ranges))
            return try converting(
                AdmissionError<Refusal>.notSubmitted,
                transact(wanted, options: options, since: start))
        }
    }

    private func unchanged(_ wanted: WantedArray, since start: UInt64) -> Receipt {
        var receipt = wanted.receipt(generation: pair.current.generation, capabilities)
        receipt.durations.nanoseconds.total = monotonicNow() - start
        return receipt
    }

    /// Runs the transaction from prepare to retire, and publishes its receipt.
    private func transact(
        _ wanted: WantedArray, options: SubmitOptions, since start: UInt64
    ) throws(SubmitError) -> Receipt {
        let previous = pair.current
        let hooks = hooks
        // They get changes of slots.
        let transactionHooks = wanted.diff.isEmpty ? [] : transactionHooks
        var wanted = wanted
        wanted.decideHold(options.quiesce, for: hooks)
        var run = TransactionRun(
            wanted, from: previous.array, options: options, overlay: overlay,
            in: TransactionRun.Surroundings(
                backend: backend, pair: pair, vcpus: vcpus, hooks: hooks,
                transactionHooks: transactionHooks))
        let outcome = run.run()
        var receipt = wanted.receipt(generation: pair.current.generation, capabilities)
        if outcome == .committed { receipt.unmappedDirtyPages = run.carryDirtyBits() }
        overlay = run.overlay
        if let error = error(for: outcome, of: run) { throw error }

        receipt.retired = run.readers.isEmpty
        receipt.readers = run.readers
        receipt.observers = transactionHooks.compactMap { ($0 as? any ReportingHook)?.report() }
        receipt.durations.nanoseconds = run.times
        receipt.durations.nanoseconds.total = monotonicNow() - start
        record(receipt)
        publish(.committed(receipt, previous: previous.generation, array: pair.current.array))
        publishRetirement()
        return receipt
    }

    /// The error for an outcome, after it is published.
    private func error(
        for outcome: TransactionMachine.Outcome, of run: TransactionRun
    ) -> SubmitError? {
        switch outcome {
        case .committed: return nil
        case .rejected(let veto, let step):
            let (hook, change) = run.refusal(step)
            return .rejected(hook: hook, change: change, reason: veto.reason)
        case .timedOut(let vcpus, let readers):
            return .quiesceTimeout(vcpus: vcpus, readers: readers)
        case .rolledBack(let errno, let operation):
            let rollback = SubmitError.Rollback(
                errno: errno, operation: operation.flatMap(run.place),
                call: operation.flatMap(run.call), attribute: operation.flatMap(run.attribute))
            publish(.rolledBack(rollback, generation: pair.current.generation))
            return .rolledBack(rollback)
        case .failed(let errno, let operation, let undo):
            let failure = TableFailure(
                errno: errno, operation: operation.flatMap(run.place),
                attribute: operation.flatMap(run.attribute), undoErrno: undo,
                installed: run.installed ?? [], attributes: Array(run.appliedAttributes),
                vcpus: run.notHeld)
            record(failure)
            publish(.failed(failure, generation: pair.current.generation))
            return .failed(failure)
        case .recovered: preconditionFailure("a submit recovers nothing")
        }
    }
}

/// Why a submit that the layer above must admit did not take effect.
package enum AdmissionError<Refusal: Error>: Error {
    /// The layer above refused it.
    case refused(Refusal)
    /// The table did not commit it.
    case notSubmitted(SubmitError)

    /// Whether it may have ended logs and made them full again.
    package var mayFillLogs: Bool {
        switch self {
        case .notSubmitted(.rolledBack), .notSubmitted(.failed): true
        default: false
        }
    }
}
