/// Dirty bits that the table keeps, because the kernel has dropped or returned its own.
///
/// A client gets the kernel's bits and these together.
struct DirtyOverlay {
    let pageSize: ByteCount
    private var bitmaps: [SlotKey: DirtyBitmap] = [:]

    init(pageSize: ByteCount = .page) { self.pageSize = pageSize }

    /// The bits kept for `slot`; none where nothing is kept.
    func bitmap(of slot: Memslot) -> DirtyBitmap { bitmaps[slot.assignedKey] ?? empty(slot) }

    private func empty(_ slot: Memslot) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.size.pages(of: pageSize))
    }

    /// Keeps `bits` for `slot` beside those that are kept already.
    mutating func add(_ bits: DirtyBitmap, to slot: Memslot) {
        guard !bits.isEmpty else { return }
        let none = empty(slot)
        bitmaps[slot.assignedKey, default: none].formUnion(bits)
    }

    mutating func add(_ pages: Range<UInt64>, to slot: Memslot) {
        let none = empty(slot)
        bitmaps[slot.assignedKey, default: none].insert(pages)
    }

    mutating func clear(_ pages: Range<UInt64>, of slot: Memslot) {
        bitmaps[slot.assignedKey]?.remove(pages)
        if bitmaps[slot.assignedKey]?.isEmpty == true { bitmaps[slot.assignedKey] = nil }
    }

    mutating func remove(_ slot: Memslot) -> DirtyBitmap {
        bitmaps.removeValue(forKey: slot.assignedKey) ?? empty(slot)
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
                let host = HostPages(of: item.slot, pages: run, of: pageSize)
                let first = host.bytes.lowerBound
                index.forEach(meeting: host) { slot, shared in
                    add(pages(of: shared, from: HostPages(of: slot).bytes), to: slot)
                    let offset = pages(of: shared, from: first..<UInt64.max)
                    left.remove(
                        run.lowerBound + offset.lowerBound..<run.lowerBound + offset.upperBound)
                }
            }
            if !left.isEmpty {
                unmapped.append(DirtyPages(slot: item.slot, runs: left.runs, pageSize: pageSize))
            }
        }
        return unmapped.sorted { $0.slot.assignedKey < $1.slot.assignedKey }
    }

    private func pages(of bytes: Range<UInt64>, from base: Range<UInt64>) -> Range<UInt64> {
        let start = base.lowerBound
        return ByteCount(bytes.lowerBound - start).pages(
            of: pageSize)..<ByteCount(bytes.upperBound - start).pages(of: pageSize)
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
    /// The bytes of a page of ``runs``, a power of two.
    public var pageSize: ByteCount

    /// Names `runs` of `slot`.
    public init(slot: Memslot, runs: [Range<UInt64>], pageSize: ByteCount = .page) {
        (self.slot, self.runs, self.pageSize) = (slot, runs, pageSize)
    }

    /// The bits of ``runs`` in pages of `size`: a page is dirty if any part of it is.
    package func bits(inPagesOf size: ByteCount) -> DirtyBitmap {
        var bits = DirtyBitmap(pageCount: slot.size.pages(of: size))
        for run in runs where !run.isEmpty {
            let last = ByteCount((run.upperBound - 1) * pageSize.rawValue + pageSize.rawValue - 1)
            bits.insert(
                ByteCount(run.lowerBound * pageSize.rawValue).pages(of: size)..<last.pages(of: size)
                    + 1)
        }
        return bits
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

    /// The host pages behind `pages` of `slot`, which have `pageSize` bytes.
    init(of slot: Memslot, pages: Range<UInt64>, of pageSize: ByteCount) {
        self.init(
            of: slot,
            bytes: pages.lowerBound * pageSize.rawValue..<pages.upperBound * pageSize.rawValue)
    }

    private init(of slot: Memslot, bytes own: Range<UInt64>) {
        object = slot.memory?.object.rawValue ?? 0
        bytes = slot.hostStart + own.lowerBound..<slot.hostStart + own.upperBound
    }

    init(of slot: Memslot) { self.init(of: slot, bytes: 0..<slot.size.rawValue) }
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
        (self.slots, self.reach) = (slots, reach)
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
