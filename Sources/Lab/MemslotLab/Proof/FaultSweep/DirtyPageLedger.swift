import Memslots

extension Memslot {
    /// The host pages that the slot maps: pages of its memory object, or else of user addresses.
    var hostPages: Range<UInt64> { hostPages(of: .page) }

    /// As ``hostPages``, in pages of `page`.
    func hostPages(of page: ByteCount) -> Range<UInt64> {
        let first = ByteCount(memory?.offset.rawValue ?? userspaceAddress.rawValue).pages(of: page)
        return first..<first + size.pages(of: page)
    }

    func contains(_ address: GuestPhysicalAddress, in space: AddressSpaceID) -> Bool {
        addressSpace == space && guestPhysicalAddress <= address && address < guestPhysicalEnd
    }
}

/// Where each dirty page must be reported after a commit, derived from the promise alone: a bit
/// whose log ends is carried to every logging slot that maps the page, or else to the receipt.
struct PageLedger {
    /// The log that each logging slot of the new array must have.
    private(set) var logs: [SlotKey: DirtyBitmap] = [:]
    /// The pages that the receipt must return.
    private var returned: [Memslot: [Range<UInt64>]] = [:]

    init(
        _ dirt: [SlotKey: DirtyBitmap], of before: [Memslot], _ calls: [SlotCall],
        to after: [Memslot], startsFull: Bool, pageSize: ByteCount = .page
    ) {
        let ended = Set(calls.filter(\.endsLogging).map(\.key))
        let begins = { (call: SlotCall) in
            call.after?.isLogging == true && call.before?.isLogging != true
        }
        let begun = Set(calls.filter(begins).map(\.key))
        let logging = after.filter(\.isLogging)
        for slot in logging {
            var bits = DirtyBitmap(
                pageCount: slot.size.pages(of: pageSize),
                isFull: startsFull && begun.contains(slot.assignedKey))
            if !ended.contains(slot.assignedKey), let kept = dirt[slot.assignedKey] {
                bits.formUnion(kept)
            }
            logs[slot.assignedKey] = bits
        }
        for slot in before where ended.contains(slot.assignedKey) {
            guard var left = dirt[slot.assignedKey], !left.isEmpty else { continue }
            for run in left.runs {
                for other in logging {
                    guard let shared = Self.shared(run, of: slot, with: other, pageSize) else {
                        continue
                    }
                    logs[other.assignedKey]?.insert(shared.there)
                    left.remove(shared.here)
                }
            }
            if !left.isEmpty { returned[slot] = left.runs }
        }
    }

    /// Whether the receipt returns exactly the pages that it must.
    func isReturned(by receipt: Receipt) -> Bool {
        let pages = receipt.unmappedDirtyPages.map { ($0.slot, $0.runs) }
        return Dictionary(uniqueKeysWithValues: pages) == returned
    }

    /// The part of `run` whose host pages `other` maps too, in pages of each slot.
    private static func shared(
        _ run: Range<UInt64>, of slot: Memslot, with other: Memslot, _ page: ByteCount
    ) -> (here: Range<UInt64>, there: Range<UInt64>)? {
        guard slot.memory?.object == other.memory?.object else { return nil }
        let base = slot.hostPages(of: page).lowerBound
        let others = other.hostPages(of: page)
        let common = (base + run.lowerBound..<base + run.upperBound).clamped(to: others)
        guard !common.isEmpty else { return nil }
        return (
            common.lowerBound - base..<common.upperBound - base,
            common.lowerBound - others.lowerBound..<common.upperBound - others.lowerBound
        )
    }
}

/// Dirty pages that a transaction could lose: known to the kernel, to the table, or to both.
struct DirtyPageSetup {
    /// The log that each logging slot must have.
    private(set) var expected: [SlotKey: DirtyBitmap] = [:]
    private let slots: [Memslot]
    private let capabilities: Capabilities
    private var isFresh = true

    init(_ slots: [Memslot], capabilities: Capabilities) {
        self.slots = slots.filter(\.isLogging)
        self.capabilities = capabilities
        for slot in self.slots {
            expected[slot.assignedKey] = DirtyBitmap(
                pageCount: capabilities.pageCount(of: slot),
                isFull: capabilities.dirtyLogStartsFull)
        }
    }

    /// Makes pages dirty.
    mutating func apply(to vm: any SweptVM, _ table: MemslotTable) throws(DirtyLogError) {
        defer { isFresh = false }
        guard vm.hasGuestWrites else { return try clearSome(table) }
        for (index, slot) in slots.enumerated() {
            _ = try table.dirtyLog(of: slot, clear: true)
            let pageCount = capabilities.pageCount(of: slot)
            var bits = DirtyBitmap(pageCount: pageCount)
            defer { expected[slot.assignedKey] = bits }
            // The guest can't write there.
            if slot.flags.contains(.readOnly) { continue }
            let kept = Self.pages(of: pageCount, index, in: [2, 3])
            vm.write(kept, of: slot)
            _ = try table.dirtyLog(of: slot)
            do throws(Errno) {
                // Where a read does not clear the log, the kernel would still know these pages.
                _ = try vm.backend.readDirtyLog(of: slot, clear: true)
            } catch { throw .backend(error) }
            let written = Self.pages(of: pageCount, index, in: [1, 3])
            vm.write(written, of: slot)
            for page in kept + written { bits.insert(page..<page + 1) }
        }
    }

    /// Logs begin full: clears a part of half of them, so that the table keeps the rest.
    private mutating func clearSome(_ table: MemslotTable) throws(DirtyLogError) {
        guard isFresh, capabilities.dirtyLogStartsFull else { return }
        for (index, slot) in slots.enumerated() where index % 2 == 1 {
            let third = capabilities.pageCount(of: slot) / 3
            let pages = third..<third + 1
            _ = try table.dirtyLog(of: slot, pages: pages, clear: true)
            expected[slot.assignedKey]?.remove(pages)
        }
    }

    /// Pages at the slot's ends and in its middle, distributed over four kinds.
    private static func pages(of count: UInt64, _ index: Int, in kinds: [Int]) -> [UInt64] {
        var places: [UInt64] = [0, 1, 2, 3, 5, 63, 64, count / 2]
        if count > 1 { places += [count - 2, count - 1] }
        let unique = Set(places.filter { $0 < count }).sorted()
        return unique.enumerated().filter { kinds.contains(($0.offset + index) % 4) }.map(\.element)
    }
}
