/// A guest range that becomes private, or shared again.
///
/// A guest page is shared until it is made private: then the guest sees the guest_memfd of the slot
/// that is there, not its userspace mapping. It belongs to the guest page number: it outlives slots,
/// and a slot that moves leaves it where it is.
/// Kernel: `KVM_SET_MEMORY_ATTRIBUTES` with or without `KVM_MEMORY_ATTRIBUTE_PRIVATE`.
public struct MemoryAttributeChange: Hashable, Sendable, CustomStringConvertible {
    /// The range, in address space 0. Multiples of the VM's page, not empty.
    public var range: GuestRange
    /// Whether it becomes private.
    public var isPrivate: Bool

    /// Makes `range` private, or shared.
    public init(_ range: GuestRange, isPrivate: Bool) {
        (self.range, self.isPrivate) = (range, isPrivate)
    }

    package var inverse: Self { Self(range, isPrivate: !isPrivate) }

    /// What happens to which addresses, such as `private 0x1000-0x1fff`.
    public var description: String {
        let (first, size) = (range.address.rawValue, range.size.rawValue)
        return "\(isPrivate ? "private" : "shared") \(hex(first: first, last: first &+ size &- 1))"
    }

    /// Returns the fewest changes that lead from `old` to `new`: ascending those that make private, then
    /// those that make shared. Only the first need storage of the kernel, so an undo of them needs none.
    static func changes(from old: GuestRangeSet, to new: GuestRangeSet) -> [Self] {
        if old == new { return [] }
        let edges = old.edges.map { ($0, false) } + new.edges.map { ($0, true) }
        var changes: [Self] = []
        var (start, isOld, isNew) = (UInt64(0), false, false)
        for (edge, isOfNew) in edges.sorted(by: { $0.0 < $1.0 }) {
            if isOld != isNew, start < edge {
                changes.append(Self(GuestRange(start, edge), isPrivate: isNew))
            }
            start = edge
            if isOfNew { isNew.toggle() } else { isOld.toggle() }
        }
        return changes.filter(\.isPrivate) + changes.filter { !$0.isPrivate }
    }
}

/// A set of guest addresses, as the fewest ranges.
package struct GuestRangeSet: Hashable, Sendable {
    /// Ascending: where a range begins, where it ends, where the next begins.
    private(set) var edges: [UInt64] = []

    /// The addresses of `ranges`, none of which is empty or wraps.
    package init(_ ranges: [GuestRange] = []) {
        for range in ranges.sorted(by: { $0.address < $1.address }) { set(range, true) }
    }

    /// The ranges, ascending; none touches another.
    package var ranges: [GuestRange] {
        stride(from: 0, to: edges.count, by: 2).map { GuestRange(edges[$0], edges[$0 + 1]) }
    }

    package var count: Int { edges.count / 2 }

    /// Applies `changes` in any order. Each is a change of its whole range, so that the same once more
    /// undoes them. The time is that of merging sorted lists.
    package mutating func apply(_ changes: some Sequence<MemoryAttributeChange>) {
        let all = edges + changes.flatMap { [$0.range.address.rawValue, $0.range.end] }
        // Two edges at one address are none.
        edges = all.sorted().reduce(into: []) { edges, edge in
            if edges.last == edge { edges.removeLast() } else { edges.append(edge) }
        }
    }

    /// Makes the addresses of `range` members, or removes them.
    package mutating func set(_ range: GuestRange, _ isMember: Bool) {
        let (start, end) = (range.address.rawValue, range.end)
        let first = edges.partitioningIndex { $0 >= start }
        let next = edges.partitioningIndex { $0 > end }
        // Behind an even number of edges is what is not in the set.
        let added = [(first, start), (next, end)].filter { $0.0.isMultiple(of: 2) == isMember }
        edges.replaceSubrange(first..<next, with: added.map(\.1))
    }
}

extension GuestRange {
    fileprivate var end: UInt64 { address.rawValue + size.rawValue }

    fileprivate init(_ start: UInt64, _ end: UInt64) {
        self.init(address: GuestPhysicalAddress(start), size: ByteCount(end - start))
    }
}

extension Capabilities {
    /// Returns the faults of a submitted list of private ranges, which has the rules of slots of any
    /// number and size.
    package func faults(ofPrivate ranges: [GuestRange], prior: [Violation] = []) -> [Violation] {
        if ranges.isEmpty { return [] }
        guard memoryAttributes else {
            let detail =
                "the VM has no private memory (KVM_CAP_MEMORY_ATTRIBUTES); leave attributes out"
            var fault = Violation(.unsupportedFlag, in: .main, detail: detail)
            // A kernel may not have the call, or the VM not the attribute.
            (fault.list, fault.errno) = (.attributes, nil)
            return [fault]
        }
        var limits = Capabilities(maxSlots: .max, maxGuestPage: maxGuestPage, pageSize: pageSize)
        (limits.maxPagesPerSlot, limits.userspaceEnd) = (.max, UserspaceAddress(.max))
        let slots = ranges.map {
            Memslot(guestPhysicalAddress: $0.address, size: $0.size, userspaceAddress: 0)
        }
        var validator = ArrayValidator(slots: slots, capabilities: limits, prior: prior)
        validator.list = .attributes
        return (validator.faults(limit: .max)?.violations ?? []).map { fault in
            var fault = fault
            fault.list = .attributes
            // The kernel has neither rule for attributes.
            if fault.kind == .overlap || fault.kind == .addressTooLarge { fault.errno = nil }
            return fault
        }
    }
}
