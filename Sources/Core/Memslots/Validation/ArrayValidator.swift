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
        self.slots = slots
        self.capabilities = capabilities
        self.prior = prior
        self.present = present
        self.requiresIDs = requiresIDs
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
        let order = faults.enumerated().sorted { left, right in
            let (a, b) = (left.element, right.element)
            if a.index != b.index { return (a.index ?? .max) < (b.index ?? .max) }
            let ranks = (ViolationOrder.rank(of: a.kind), ViolationOrder.rank(of: b.kind))
            return ranks.0 != ranks.1 ? ranks.0 < ranks.1 : left.offset < right.offset
        }
        faults = order.map(\.element) + crowded + rangeFaults
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
        var intervals: [EarliestOverlap.Interval] = []
        intervals.reserveCapacity(slots.count)
        for (index, slot) in slots.enumerated() {
            guard slot.size != .zero, let end = slot.guestPhysicalAddress.advanced(by: slot.size)
            else { continue }
            intervals.append(
                EarliestOverlap.Interval(
                    group: UInt64(slot.addressSpace.rawValue),
                    start: slot.guestPhysicalAddress.rawValue, end: end.rawValue, index: index))
        }
        return EarliestOverlap.find(in: intervals).map { index, earliest in
            let (slot, other) = (slots[index], slots[earliest])
            let detail = "\(slot.range) overlaps \(other.range) of \(list)[\(earliest)]"
            return Violation(
                .overlap, of: slot, at: index, member: "guestPhysicalAddress", detail: detail
            ).with(other, at: earliest)
        }
    }

    func boundTwice() -> [Violation] {
        var intervals: [EarliestOverlap.Interval] = []
        for (index, slot) in slots.enumerated() {
            guard let binding = slot.guestMemfd, !binding.isOwn, slot.size != .zero else {
                continue
            }
            let end = binding.offset.rawValue.addingReportingOverflow(slot.size.rawValue)
            guard !end.overflow else { continue }
            intervals.append(
                EarliestOverlap.Interval(
                    group: UInt64(UInt32(bitPattern: binding.descriptor)),
                    start: binding.offset.rawValue, end: end.partialValue, index: index))
        }
        return EarliestOverlap.find(in: intervals).map { index, earliest in
            let detail = "its part of the guest_memfd is bound to slots[\(earliest)] already"
            return Violation(
                .guestMemfdRangeBound, of: slots[index], at: index, member: "guestMemfdOffset",
                detail: detail, errno: capabilities.facts.boundRange
            ).with(slots[earliest], at: earliest)
        }
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

extension Memslot {
    /// The guest range for a person, `0x1000-0x2fff`.
    fileprivate var range: String {
        hex(first: guestPhysicalAddress.rawValue, last: guestPhysicalEnd.rawValue &- 1)
    }
}
