/// The steps before anything is changed.
extension MemslotTable {
    /// Plans an array in which the layer above has found the faults `prior`.
    package func plan(
        _ slots: [Memslot], options: SubmitOptions, prior: [Violation]
    ) throws(SubmitError) -> Receipt {
        try serially(SubmitError.reentrant) { () throws(SubmitError) in
            var wanted = try wantedArray(from: slots, options: options, prior: prior)
            if !wanted.isUnchanged { wanted.decideHold(options.quiesce, for: hooks) }
            var receipt = wanted.receipt(generation: pair.current.generation, capabilities)
            guard !wanted.isUnchanged else { return receipt }
            receipt.isPlan = true
            receipt.generation = pair.current.generation.next
            receipt.unmappedDirtyPages = try plannedUnmappedPages(wanted)
            return receipt
        }
    }

    /// Validates and compares, and then diffs and plans: ``WantedArray``.
    func wantedArray(
        from slots: [Memslot], options: SubmitOptions, prior: [Violation]
    ) throws(SubmitError) -> WantedArray {
        if let failure { throw .failed(failure) }
        let present = pair.current
        let scan = try validate(
            slots, against: present.array, prior: prior, options.privateRanges ?? [])
        try compare(options.expectedGeneration, with: present.generation)
        var wanted =
            scan.map { WantedArray(slots, $0, present: present.array, capabilities) }
            ?? WantedArray(unchanged: present.array)
        let ranges = options.privateRanges.map { GuestRangeSet($0) } ?? present.privateSet
        wanted.attributes = MemoryAttributeChange.changes(from: present.privateSet, to: ranges)
        wanted.privateRanges = ranges
        return wanted
    }

    /// - Returns: `nil` for the present array, which was validated when it was submitted.
    private func validate(
        _ slots: [Memslot], against present: MemslotArray, prior: [Violation],
        _ privateRanges: [GuestRange]
    ) throws(SubmitError) -> ArrayScan? {
        let (prior, ofRanges) = (
            prior.filter { $0.list == .slots }, prior.filter { $0.list == .attributes }
        )
        let rangeFaults = capabilities.faults(ofPrivate: privateRanges, prior: ofRanges)
        let isPresent = prior.isEmpty && slots == present.slots
        if isPresent && rangeFaults.isEmpty { return nil }
        var validator = ArrayValidator(
            slots: slots, capabilities: capabilities, prior: prior, present: present)
        validator.rangeFaults = rangeFaults
        let scan = validator.scan
        if let faults = validator.faults(limit: limits.violations, scan) { throw .invalid(faults) }
        return scan
    }

    private func compare(_ expected: Generation?, with present: Generation) throws(SubmitError) {
        if let expected, expected != present {
            throw .conflict(present: present, expected: expected)
        }
    }
}
