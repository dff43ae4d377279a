/// A valid submitted array with its ids, its diff and its plan.
struct WantedArray {
    /// Ascending by key.
    let slots: [Memslot]
    let diff: MemslotDiff
    private(set) var plan: Plan
    /// How the plan's calls lie around the hold.
    private(set) var hold = Hold()
    /// The private ranges, and how they differ from the present ones.
    var privateRanges = GuestRangeSet()
    var attributes: [MemoryAttributeChange] = []
    /// In request order, with ids.
    private let requested: [Memslot]
    private let hasPickedIDs, idsAreOptimal: Bool

    /// The present array once more.
    init(unchanged present: MemslotArray) {
        (slots, requested) = (present.slots, present.slots)
        diff = MemslotDiff(from: [], to: [])
        plan = Plan(diff)
        (hasPickedIDs, idsAreOptimal) = (false, true)
    }

    /// Compares `slots`, in which `scan` has found no fault, with the present array.
    init(
        _ slots: [Memslot], _ scan: ArrayScan, present: MemslotArray, _ capabilities: Capabilities
    ) {
        if scan.keysAscend {
            self.slots = slots
            diff = MemslotDiff(from: present.slots, to: slots, scan.changes)
            (requested, hasPickedIDs, idsAreOptimal) = (slots, false, true)
        } else {
            let assignment = SlotIDAssignment(for: slots, present: present)
            self.slots = assignment.slots.sortedByKey()
            diff = MemslotDiff(from: present.slots, to: self.slots)
            (requested, hasPickedIDs) = (assignment.slots, assignment.hasPicked)
            idsAreOptimal = assignment.isOptimal
        }
        plan = Plan(diff, for: capabilities)
    }

    var isUnchanged: Bool { diff.isEmpty && attributes.isEmpty }

    /// Decides whether vCPUs are held, and arranges the plan around that.
    mutating func decideHold(_ quiesce: SubmitOptions.Quiesce, for hooks: [any MemslotHook]) {
        // A guest must not see half of the attributes, which change host pages: all is inside then.
        let isWhole = quiesce == .continuity && !attributes.isEmpty
        hold = plan.arrange(
            diff, isWhole ? .auto : quiesce,
            hooksNeedHold: hooks.contains(where: \.needsQuiescence))
        if !attributes.isEmpty, [nil, .hook, .asked].contains(hold.reason) {
            hold.reason = .severalVisibleChanges
        }
    }

    /// A receipt without times, as far as it is known beforehand.
    func receipt(generation: Generation, _ capabilities: Capabilities) -> Receipt {
        var receipt = Receipt(
            generation: generation, outcome: isUnchanged ? .unchanged : .committed, diff: diff,
            operations: plan.operations, isOptimal: plan.isOptimal && idsAreOptimal,
            slots: requested)
        receipt.attributes = attributes
        receipt.hasPickedIDs = hasPickedIDs
        receipt.quiesced = hold.reason != nil
        receipt.holdReason = hold.reason
        receipt.kernelMemory = capabilities.kernelMemory?.bytes(of: slots)
        receipt.warnings =
            ArrayFindings(about: diff.added + diff.moved.map(\.after)).all.map(\.description)
        return receipt
    }
}
