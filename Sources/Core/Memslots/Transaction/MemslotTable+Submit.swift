extension MemslotTable {
    /// Makes `slots` the VM's memory, all at once, or leaves it as it is.
    ///
    /// Blocks until the transaction has ended. Slots without an id get one: that of a present slot
    /// that can become it with the fewest calls, else the lowest that is free.
    ///
    /// - Parameters:
    ///   - slots: the complete array, in any order.
    ///   - options: compare-and-swap, and how vCPUs are held out.
    /// - Returns: what was done.
    /// - Throws: why nothing was; see ``SubmitError``.
    @discardableResult
    public func submit(
        _ slots: [Memslot], options: SubmitOptions = SubmitOptions()
    ) throws(SubmitError) -> Receipt {
        try submit(slots, options: options, prior: [])
    }

    /// As the blocking ``submit(_:options:)``, for tasks: it waits on a thread of the table's own,
    /// never on one of the task pool.
    @discardableResult
    public func submit(
        _ slots: [Memslot], options: SubmitOptions = SubmitOptions()
    ) async throws(SubmitError) -> Receipt {
        let result = await withCheckedContinuation { continuation in
            submissions.run { [self] in
                do throws(SubmitError) {
                    let receipt = try submit(slots, options: options, prior: [])
                    continuation.resume(returning: Result<Receipt, SubmitError>.success(receipt))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// The receipt that a submit would give, with nothing carried out and no times.
    ///
    /// - Throws: as ``submit(_:options:)``, but for what only carrying out can find.
    public func plan(
        _ slots: [Memslot], options: SubmitOptions = SubmitOptions()
    ) throws(SubmitError) -> Receipt {
        try plan(slots, options: options, prior: [])
    }

    /// Submits an array in which the layer above has found faults already.
    ///
    /// - Parameter objection: asked before anything is touched, and where anything is to be, with
    ///   the generation and the array to come, sorted by key. What it answers is the reason of
    ///   ``SubmitError/rejected(hook:change:reason:)``; `nil` to go on. It runs inside the
    ///   transaction.
    package func submit(
        _ slots: [Memslot], options: SubmitOptions, prior: [Violation],
        unless objection: (Generation, [Memslot]) -> String? = { _, _ in nil }
    ) throws(SubmitError) -> Receipt {
        let start = monotonicNow()
        return try asTransaction { () throws(SubmitError) -> Receipt in
            let wanted = try judge(slots, options: options, prior: prior)
            guard !wanted.diff.isEmpty else { return unchanged(wanted, since: start) }
            if let reason = objection(pair.current.generation.next, wanted.slots) {
                throw .rejected(
                    hook: "admission", change: wanted.plan.changes[0], reason: reason)
            }
            return try carryOut(wanted, options: options, since: start)
        }
    }

    /// Plans an array in which the layer above has found faults already.
    package func plan(
        _ slots: [Memslot], options: SubmitOptions, prior: [Violation]
    ) throws(SubmitError) -> Receipt {
        try asTransaction { () throws(SubmitError) -> Receipt in
            let wanted = try judge(slots, options: options, prior: prior)
            var receipt = wanted.receipt(generation: pair.current.generation)
            guard !wanted.diff.isEmpty else { return receipt }
            receipt.generation = pair.current.generation.next
            receipt.quiesced =
                wanted.plan.needsQuiescence || options.quiesce == .always
                || hooks.contains(where: \.needsQuiescence)
            receipt.unmappedDirtyPages = try foreseeUnmappedPages(wanted)
            return receipt
        }
    }

    /// Runs `body` as the only transaction, typed errors and all.
    private func asTransaction(
        _ body: () throws(SubmitError) -> Receipt
    ) throws(SubmitError) -> Receipt {
        let result: Result<Receipt, SubmitError>
        do throws(ReentryError) {
            result = try serially {
                do throws(SubmitError) { return .success(try body()) } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw .reentrant(error)
        }
        return try result.get()
    }

    /// Everything that is decided before anything is touched.
    private func judge(
        _ slots: [Memslot], options: SubmitOptions, prior: [Violation]
    ) throws(SubmitError) -> WantedArray {
        if let failure { throw .failed(failure) }
        let present = pair.current
        // What the table has already was judged when it was submitted.
        let isPresent = prior.isEmpty && slots == present.array.slots
        var scan: ArrayScan?
        if !isPresent {
            let validator = ArrayValidator(
                slots: slots, capabilities: capabilities, prior: prior,
                present: present.array)
            let look = validator.scan
            if let faults = validator.faults(limit: limits.violations, look) {
                throw .invalid(faults)
            }
            scan = look
        }
        if let expected = options.expectedGeneration, expected != present.generation {
            throw .conflict(present: present.generation, expected: expected)
        }
        guard let scan else { return WantedArray(unchanged: present.array) }
        return WantedArray(slots, scan, present: present.array)
    }

    private func unchanged(_ wanted: WantedArray, since start: UInt64) -> Receipt {
        var receipt = wanted.receipt(generation: pair.current.generation)
        receipt.durations.nanoseconds.total = monotonicNow() - start
        return receipt
    }

    private func carryOut(
        _ wanted: WantedArray, options: SubmitOptions, since start: UInt64
    ) throws(SubmitError) -> Receipt {
        let previous = pair.current
        let hooks = hooks
        var run = TransactionRun(
            wanted.plan, from: previous.array, to: wanted.slots, options: options,
            overlay: overlay,
            in: TransactionRun.Surroundings(
                backend: backend, pair: pair, vcpus: vcpus, hooks: hooks))
        let outcome = run.run()
        var receipt = wanted.receipt(generation: pair.current.generation)
        if outcome == .committed { receipt.unmappedDirtyPages = run.settleDirtyBits() }
        overlay = run.overlay
        if let error = error(for: outcome, of: run, wanted.plan) { throw error }

        receipt.quiesced = run.quiesces
        receipt.retired = run.readers.isEmpty
        receipt.readers = run.readers
        receipt.durations.nanoseconds = run.times
        receipt.durations.nanoseconds.total = monotonicNow() - start
        note(receipt)
        tell(.committed(receipt, previous: previous.generation, array: pair.current.array))
        tellRetired()
        return receipt
    }

    /// What to throw for an outcome; observers are told on the way.
    private func error(
        for outcome: TransactionMachine.Outcome, of run: TransactionRun, _ plan: Plan
    ) -> SubmitError? {
        switch outcome {
        case .committed: return nil
        case .rejected(let veto, let step):
            return .rejected(
                hook: run.hook(step).name, change: run.change(step), reason: veto.reason)
        case .timedOut(let vcpus, let readers):
            return .quiesceTimeout(vcpus: vcpus, readers: readers)
        case .rolledBack(let errno, let operation):
            let rollback = SubmitError.Rollback(
                errno: errno, operation: operation,
                call: operation.map { plan.operations[$0].call })
            tell(.rolledBack(rollback, generation: pair.current.generation))
            return .rolledBack(rollback)
        case .failed(let errno, let operation, let undo):
            let failure = TableFailure(
                errno: errno, operation: operation, undoErrno: undo,
                installed: run.installed ?? [])
            note(failure)
            tell(.failed(failure, generation: pair.current.generation))
            return .failed(failure)
        }
    }
}
