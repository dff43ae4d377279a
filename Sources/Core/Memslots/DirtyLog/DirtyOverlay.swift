/// Dirty bits that the table keeps, because the kernel has dropped or returned its own.
///
/// A client gets the kernel's bits and these together.
struct DirtyOverlay {
    private var bitmaps: [SlotKey: DirtyBitmap] = [:]

    /// The bits kept for `slot`; none where nothing is kept.
    func bitmap(of slot: Memslot) -> DirtyBitmap {
        bitmaps[slot.assignedKey] ?? DirtyBitmap(pageCount: slot.pageCount)
    }

    /// Keeps `bits` for `slot` beside those that are kept already.
    mutating func add(_ bits: DirtyBitmap, to slot: Memslot) {
        guard !bits.isEmpty else { return }
        bitmaps[slot.assignedKey, default: DirtyBitmap(pageCount: slot.pageCount)].formUnion(bits)
    }

    mutating func add(_ pages: Range<UInt64>, to slot: Memslot) {
        bitmaps[slot.assignedKey, default: DirtyBitmap(pageCount: slot.pageCount)].insert(pages)
    }

    mutating func clear(_ pages: Range<UInt64>, of slot: Memslot) {
        bitmaps[slot.assignedKey]?.remove(pages)
        if bitmaps[slot.assignedKey]?.isEmpty == true { bitmaps[slot.assignedKey] = nil }
    }

    mutating func remove(_ slot: Memslot) -> DirtyBitmap {
        bitmaps.removeValue(forKey: slot.assignedKey) ?? DirtyBitmap(pageCount: slot.pageCount)
    }

    /// Carries the harvested bits of old slots to every slot of `array` that logs and maps the page.
    ///
    /// - Returns: the pages that no such slot maps, by their old slot, ascending by key.
    mutating func carry(_ harvest: [Harvested], to array: [Memslot]) -> [DirtyPages] {
        guard harvest.contains(where: { !$0.bits.isEmpty }) else { return [] }
        let index = HostPageIndex(array)
        var unmapped: [DirtyPages] = []
        for item in harvest where !item.bits.isEmpty {
            var left = item.bits
            for run in item.bits.runs {
                let host = HostPages(of: item.slot, pages: run)
                let first = host.bytes.lowerBound
                index.forEach(meeting: host) { slot, shared in
                    add(Self.pages(of: shared, from: HostPages(of: slot).bytes), to: slot)
                    let offset = Self.pages(of: shared, from: first..<UInt64.max)
                    left.remove(
                        run.lowerBound + offset.lowerBound..<run.lowerBound + offset.upperBound)
                }
            }
            if !left.isEmpty { unmapped.append(DirtyPages(slot: item.slot, runs: left.runs)) }
        }
        return unmapped.sorted { $0.slot.assignedKey < $1.slot.assignedKey }
    }

    private static func pages(of bytes: Range<UInt64>, from base: Range<UInt64>) -> Range<UInt64> {
        (bytes.lowerBound - base.lowerBound)
            / pageSize.rawValue..<(bytes.upperBound
            - base.lowerBound) / pageSize.rawValue
    }
}

/// The dirty bits of a slot whose kernel log ends.
struct Harvested {
    let slot: Memslot
    var bits: DirtyBitmap
}

/// Dirty pages of one slot.
public struct DirtyPages: Hashable, Sendable {
    /// The slot as it was when the pages were written.
    public var slot: Memslot
    /// Runs of page numbers, relative to the slot's first page, ascending.
    public var runs: [Range<UInt64>]

    /// Names `runs` of `slot`.
    public init(slot: Memslot, runs: [Range<UInt64>]) {
        self.slot = slot
        self.runs = runs
    }
}

/// A run of host pages: part of a memory object, or of user memory without a name.
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
