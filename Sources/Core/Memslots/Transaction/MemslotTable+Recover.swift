extension MemslotTable {
    /// Brings a failed table back to its array, from what is really installed, with vCPUs held out.
    /// Does nothing on a table that has not failed.
    ///
    /// - Throws: ``SubmitError/failed(_:)`` with what is installed now, if an operation fails;
    ///   ``SubmitError/quiesceTimeout(vcpus:readers:)`` if vCPUs that were released do not leave
    ///   the guest within a second; ``SubmitError/reentrant(_:)`` from inside a callback of the
    ///   same table.
    public func recover() throws(SubmitError) {
        try serially(SubmitError.reentrant) { () throws(SubmitError) in try recoverNow() }
    }

    /// Lets vCPUs into the guest of a failed table, whatever is installed.
    ///
    /// The table stays failed. For an embedder that knows that its guest can run like this.
    public func releaseVCPUs() { if failureHoldsVCPUs(false) { vcpus.endHolding() } }

    private func recoverNow() throws(SubmitError) {
        guard let failure else { return }
        let active = pair.current
        // They are held already, unless the embedder has released them.
        let wereHeld = failureHoldsVCPUs(true)
        var run = TransactionRun(
            recovering: failure.installed, to: active.array,
            // All of them, whatever is in force: first what must be shared, which frees storage of the
            // kernel for what is private.
            failure.attributes.filter(\.isPrivate).map(\.inverse)
                + active.privateRanges.map { MemoryAttributeChange($0, isPrivate: true) },
            overlay: overlay,
            in: TransactionRun.Surroundings(
                backend: backend, pair: pair, vcpus: vcpus, hooks: [], transactionHooks: []))
        let outcome = run.run()
        overlay = run.overlay
        switch outcome {
        case .recovered:
            if let installed = recordRecovery() {
                // The guest has run without these logs: what it wrote is unknown.
                for slot in active.array.slots where slot.isLogging && !installed.contains(slot) {
                    overlay.add(0..<capabilities.pageCount(of: slot), to: slot)
                }
            }
            releaseVCPUs()
            publish(.recovered(generation: active.generation))
        case .timedOut(let vcpus, let readers):
            if !wereHeld { releaseVCPUs() }
            throw .quiesceTimeout(vcpus: vcpus, readers: readers)
        case .failed(_, _, let errno):
            var ranges = active.privateSet
            ranges.apply(failure.attributes)
            // Most of these change nothing.
            for change in run.appliedAttributes { ranges.set(change.range, change.isPrivate) }
            let still = TableFailure(
                errno: failure.errno, operation: failure.operation, attribute: failure.attribute,
                undoErrno: errno, installed: run.installed ?? failure.installed,
                attributes: MemoryAttributeChange.changes(from: active.privateSet, to: ranges))
            record(still)
            // Published again: other slots may be installed now.
            publish(.failed(still, generation: active.generation))
            throw .failed(still)
        case .committed, .rejected, .rolledBack:
            preconditionFailure("a recovery can't end by \(outcome)")
        }
    }
}
