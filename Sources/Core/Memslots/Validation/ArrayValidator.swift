/// Validates an array by itself, before anything is compared or called.
///
/// It finds every fault, not only the first: a person who fixes an array wants the whole list.
struct ArrayValidator {
    let slots: [Memslot]
    let capabilities: Capabilities
    /// Faults that the layer above found while it resolved names, ascending by index.
    let prior: [Violation]
    let present: MemslotArray
    let requiresIDs: Bool
    /// What `slots` are called.
    var list = Violation.List.slots
    /// The faults of the private ranges that are submitted with the array.
    var rangeFaults: [Violation] = []
    private let indicesWithPrior: Set<Int>

    /// Validates `slots`.
    ///
    /// - Parameters:
    ///   - present: an array that is valid by the same limits.
    ///   - requiresIDs: whether a slot without an id is a fault: the table can't pick the id of a slot
    ///     that a VM has already.
    init(
        slots: [Memslot], capabilities: Capabilities, prior: [Violation],
        present: MemslotArray = .empty, requiresIDs: Bool = false
    ) {
        (self.slots, self.capabilities, self.prior) = (slots, capabilities, prior)
        (self.present, self.requiresIDs) = (present, requiresIDs)
        indicesWithPrior = Set(prior.lazy.compactMap(\.index))
    }

    /// The faults of the array, or `nil` if it has none.
    ///
    /// - Parameters:
    ///   - limit: how many to list at most; all are counted.
    ///   - given: the array's ``scan``, if it is made already.
    func faults(limit: Int, _ given: ArrayScan? = nil) -> InvalidArray? {
        if rangeFaults.isEmpty, isSound(given ?? scan) { return nil }
        var faults = prior + duplicates() + overlaps() + boundTwice()
        for (index, slot) in slots.enumerated() where !isPlain(slot) {
            faults += own(slot, index, rulesBroken(by: slot))
        }
        let crowded = crowdedSpaces()
        if faults.isEmpty && crowded.isEmpty && rangeFaults.isEmpty { return nil }
        // A stable order: by slot, and for one slot its own faults before those with another.
        let ranks = Dictionary(uniqueKeysWithValues: zip(ViolationKind.allCases, 0...))
        let order = faults.enumerated().map { place, fault in
            (fault, key: (fault.index ?? .max, ranks[fault.kind] ?? ranks.count, place))
        }
        faults = order.sorted { $0.key < $1.key }.map(\.0) + crowded + rangeFaults
        return InvalidArray(violations: Array(faults.prefix(limit)), count: faults.count)
    }

    private func own(_ slot: Memslot, _ index: Int, _ broken: SlotRules) -> [Violation] {
        var faults = SlotFaults(slot: slot, index: index, capabilities: capabilities)
        // Without a backing there is no userspace address to validate.
        let hasBackingFault = indicesWithPrior.contains(index)
        faults.append(hasBackingFault ? broken.subtracting(.badUserspaceAddress) : broken)
        if !hasBackingFault { faults.appendMemoryFaults() }
        if lacksGuestMemfd(slot), !hasBackingFault {
            faults.append(
                .guestMemfdMissing, "guestMemfd", "a guest-memfd slot must name its guest_memfd")
        }
        if slot.size == .zero {
            faults.append(.zeroSize, "size", "the size is 0; leave a \(list.noun) out to remove it")
        }
        guard slot.size != .zero, !broken.contains(.addressOverflow) else { return faults.all }
        if let range = reservedRange(under: slot) {
            faults.append(
                .reservedAddress, "guestPhysicalAddress",
                "KVM keeps \(hex(first: range.lowerBound.rawValue, last: range.upperBound.rawValue - 1)) for itself"
            )
        }
        if SlotRules.exceedsGuestPages(slot, capabilities: capabilities) { faults.appendTooLarge() }
        return faults.all
    }

    func reservedRange(under slot: Memslot) -> Range<GuestPhysicalAddress>? {
        capabilities.reservedRanges.first {
            slot.guestPhysicalAddress < $0.upperBound && $0.lowerBound < slot.guestPhysicalEnd
        }
    }

    func lacksGuestMemfd(_ slot: Memslot) -> Bool {
        slot.guestMemfd?.isOwn == true && !capabilities.providesGuestMemfd
            && capabilities.flags.contains(.guestMemfd)
    }

    private func duplicates() -> [Violation] {
        var first: [SlotKey: Int] = [:]
        var faults: [Violation] = []
        for (index, slot) in slots.enumerated() where slot.hasID {
            guard let other = first[slot.assignedKey] else {
                first[slot.assignedKey] = index
                continue
            }
            let detail = "slots[\(other)] has the same id"
            faults.append(
                Violation(.duplicateSlot, of: slot, at: index, member: "slot", detail: detail)
                    .with(slots[other], at: other))
        }
        return faults
    }

    private func overlaps() -> [Violation] {
        let overlaps = earliestOverlaps { slot in
            (UInt64(slot.addressSpace.rawValue), slot.guestPhysicalAddress.rawValue)
        }
        return overlaps.map { index, earliest in
            let (slot, other) = (slots[index], slots[earliest])
            let (range, others) = (hex(slot.guestRange), hex(other.guestRange))
            return Violation(
                .overlap, of: slot, at: index, member: "guestPhysicalAddress",
                detail: "\(range) overlaps \(others) of \(list)[\(earliest)]"
            ).with(other, at: earliest)
        }
    }

    func boundTwice() -> [Violation] {
        let overlaps = earliestOverlaps { slot in
            guard let binding = slot.guestMemfd, !binding.isOwn else { return nil }
            return (UInt64(UInt32(bitPattern: binding.descriptor)), binding.offset.rawValue)
        }
        return overlaps.map { index, earliest in
            let detail = "its part of the guest_memfd is bound to slots[\(earliest)] already"
            return Violation(
                .guestMemfdRangeBound, of: slots[index], at: index, member: "guestMemfdOffset",
                detail: detail, errno: capabilities.facts.boundRange
            ).with(slots[earliest], at: earliest)
        }
    }

    /// Of each slot whose bytes from `start` on overlap those of an earlier slot of its group: its
    /// index, and that of the earliest such.
    private func earliestOverlaps(
        start: (Memslot) -> (group: UInt64, start: UInt64)?
    ) -> [(index: Int, earliest: Int)] {
        let intervals = slots.enumerated().compactMap { index, slot -> EarliestOverlap.Interval? in
            guard slot.size != .zero, let (group, start) = start(slot) else { return nil }
            let end = start.addingReportingOverflow(slot.size.rawValue)
            guard !end.overflow else { return nil }
            return EarliestOverlap.Interval(
                group: group, start: start, end: end.partialValue, index: index)
        }
        return EarliestOverlap.find(in: intervals)
    }

    func crowdedSpaces() -> [Violation] {
        guard slots.count > Int(capabilities.maxSlots) else { return [] }
        var counts: [AddressSpaceID: Int] = [:]
        for slot in slots { counts[slot.addressSpace, default: 0] += 1 }
        // Every slot of a space that the VM doesn't have is listed already.
        return counts.filter {
            $0.value > Int(capabilities.maxSlots) && $0.key.rawValue < capabilities.addressSpaces
        }.sorted { $0.key < $1.key }.map { space, count in
            Violation(
                .tooManySlots, in: space,
                detail: "\(count) slots in address space \(space), which has room for "
                    + "\(capabilities.maxSlots)")
        }
    }
}
