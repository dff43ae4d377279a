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

    /// Keeps `pages` of `slot` as dirty.
    mutating func add(_ pages: Range<UInt64>, to slot: Memslot) {
        bitmaps[slot.assignedKey, default: DirtyBitmap(pageCount: slot.pageCount)].insert(pages)
    }

    /// Forgets `pages` of `slot`.
    mutating func clear(_ pages: Range<UInt64>, of slot: Memslot) {
        bitmaps[slot.assignedKey]?.remove(pages)
        if bitmaps[slot.assignedKey]?.isEmpty == true { bitmaps[slot.assignedKey] = nil }
    }

    /// Removes the bits of `slot`, and returns them.
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
