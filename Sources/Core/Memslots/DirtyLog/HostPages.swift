/// A run of host pages: part of a memory object, or of user memory that nobody has named.
///
/// Two slots show the guest the same page exactly if they have the same host page behind it.
struct HostPages {
    /// The memory object, or 0 for plain userspace addresses.
    let object: UInt32
    /// Offset in the object, or userspace address, in bytes.
    let bytes: Range<UInt64>

    /// The host pages behind `pages` of `slot`.
    init(of slot: Memslot, pages: Range<UInt64>) {
        let base: UInt64
        if let memory = slot.memory {
            (object, base) = (memory.object.rawValue, memory.offset.rawValue)
        } else {
            (object, base) = (0, slot.userspaceAddress.rawValue)
        }
        bytes =
            base + pages.lowerBound * pageSize.rawValue..<base + pages.upperBound
            * pageSize.rawValue
    }

    /// The host pages behind all of `slot`.
    init(of slot: Memslot) { self.init(of: slot, pages: 0..<slot.pageCount) }
}

/// Finds the logging slots of an array by the host pages that they map.
struct HostPageIndex {
    /// Ascending by object and start.
    private let slots: [(slot: Memslot, host: HostPages)]
    /// For each position the largest end of all up to it, within one object: slots may alias.
    private let reach: [UInt64]

    /// Indexes the slots of `array` that log.
    init(_ array: [Memslot]) {
        let slots = array.lazy.filter(\.isLogging).map { (slot: $0, host: HostPages(of: $0)) }
            .sorted {
                ($0.host.object, $0.host.bytes.lowerBound)
                    < ($1.host.object, $1.host.bytes.lowerBound)
            }
        var reach: [UInt64] = []
        reach.reserveCapacity(slots.count)
        for (position, entry) in slots.enumerated() {
            let continues = position > 0 && slots[position - 1].host.object == entry.host.object
            reach.append(max(continues ? reach[position - 1] : 0, entry.host.bytes.upperBound))
        }
        self.slots = slots
        self.reach = reach
    }

    /// Calls `body` for each slot that maps some of `host`, with the host bytes they share.
    func forEach(meeting host: HostPages, _ body: (Memslot, Range<UInt64>) -> Void) {
        var position = slots.partitioningIndex {
            ($0.host.object, $0.host.bytes.lowerBound) >= (host.object, host.bytes.upperBound)
        }
        while position > 0, slots[position - 1].host.object == host.object,
            reach[position - 1] > host.bytes.lowerBound
        {
            position -= 1
            let shared = slots[position].host.bytes.clamped(to: host.bytes)
            if !shared.isEmpty { body(slots[position].slot, shared) }
        }
    }
}
