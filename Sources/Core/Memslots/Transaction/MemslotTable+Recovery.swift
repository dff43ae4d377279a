extension MemslotTable {
    /// Tries the undo of a failed table again, from what is really installed, with vCPUs still
    /// held out. Does nothing on a table that has not failed.
    ///
    /// - Throws: ``SubmitError/failed(_:)`` with what is installed now, if it fails again.
    public func recover() throws(SubmitError) {
        let result: Result<Void, SubmitError>
        do throws(ReentryError) {
            result = try serially {
                do throws(SubmitError) { return .success(try takeBackTheRest()) } catch {
                    return .failure(error)
                }
            }
        } catch {
            throw .reentrant(error)
        }
        try result.get()
    }

    /// Lets vCPUs into the guest of a failed table, whatever is installed.
    ///
    /// The table stays failed. For an embedder that knows that its guest can live with it.
    public func releaseVCPUs() {
        if failureHoldsVCPUs(false) { vcpus.end() }
    }

    private func takeBackTheRest() throws(SubmitError) {
        guard let failure else { return }
        let wanted = pair.current
        let plan = Plan(MemslotDiff(from: failure.installed, to: wanted.array.slots))
        var journal = SlotJournal(failure.installed)
        // Held still, unless the embedder let them go.
        let wereHeld = failureHoldsVCPUs(true)
        vcpus.begin()
        let staying = vcpus.waitUntilHeld(
            by: .after(SubmitOptions.defaultQuiesceDeadline))
        guard staying.isEmpty else {
            if !wereHeld { releaseVCPUs() }
            throw .quiesceTimeout(vcpus: staying, readers: [])
        }

        backend.beginTransaction()
        var refusal: Errno?
        vcpus.exclusively {
            do throws(Errno) { try recover(with: plan, &journal) } catch { refusal = error }
        }
        if let refusal {
            let still = TableFailure(
                errno: failure.errno, operation: failure.operation, undoErrno: refusal,
                installed: journal.slots)
            note(still)
            // Told again: other slots may be installed now.
            tell(.failed(still, generation: wanted.generation))
            throw .failed(still)
        }
        noteRecovery()
        releaseVCPUs()
        tell(.recovered(generation: wanted.generation))
    }

    private func recover(with plan: Plan, _ journal: inout SlotJournal) throws(Errno) {
        let ending = plan.operations.lazy.map(\.call).filter(\.endsLogging)
        if !ending.isEmpty { backend.collectDirtyPages() }
        for call in ending {
            guard let slot = call.before else { continue }
            let bits = try backend.readDirtyLog(of: slot, clear: false)
            _ = overlay.carry(
                [Harvested(slot: slot, bits: bits)], to: pair.current.array.slots)
        }
        for operation in plan.operations {
            try backend.apply(operation.call)
            journal.note(operation.call)
            backend.emptyNewLog(of: operation.call)
        }
    }
}
