/// The last receipts of a table, bounded in number, and in memory by a budget.
final class ReceiptHistory: Sendable {
    private struct State {
        /// Ascending by number. Those before `first` are dropped.
        private var receipts: [(number: UInt64, bytes: Int, receipt: Receipt?)] = []
        private var first = 0
        var last: UInt64 = 0

        var kept: ArraySlice<(number: UInt64, bytes: Int, receipt: Receipt?)> { receipts[first...] }

        mutating func append(_ receipt: Receipt, bytes: Int) {
            last += 1
            receipts.append((last, bytes, receipt))
        }

        /// Drops the oldest.
        ///
        /// - Returns: how many bytes they had.
        mutating func drop(_ count: Int) -> Int {
            var bytes = 0
            for index in first..<first + count {
                bytes += receipts[index].bytes
                receipts[index].receipt = nil
            }
            first += count
            // Only sometimes, so that each receipt costs the same.
            if first > max(receipts.count / 2, 64) || first == receipts.count {
                receipts.removeFirst(first)
                first = 0
            }
            return bytes
        }
    }

    private let state = Locked(State())
    private let limit: Int
    private let budget: ReceiptBudget

    init(limit: Int, _ budget: ReceiptBudget) { (self.limit, self.budget) = (limit, budget) }

    deinit { budget.release(drop(through: .max)) }

    func append(_ receipt: Receipt) {
        guard limit > 0 else { return }
        var receipt = receipt
        // They would keep every old array alive, and the submitter knows them.
        if !receipt.hasPickedIDs { receipt.slots = [] }
        let bytes = receipt.heldBytes
        let (number, dropped) = state.withLock { state in
            state.append(receipt, bytes: bytes)
            return (state.last, state.drop(max(state.kept.count - limit, 0)))
        }
        budget.release(dropped)
        budget.charge(bytes, for: number, of: self)
    }

    func last(_ count: Int) -> [Receipt] {
        state.withLock { $0.kept.suffix(count).compactMap(\.receipt) }
    }

    func removeAll() { budget.release(drop(through: .max)) }

    func contains(_ number: UInt64) -> Bool {
        state.withLock { $0.kept.first.map { $0.number <= number } ?? false }
    }

    /// Drops the receipts up to `number`.
    ///
    /// - Returns: how many bytes they had.
    func drop(through number: UInt64) -> Int {
        state.withLock { state in state.drop(state.kept.prefix { $0.number <= number }.count) }
    }
}

/// How many bytes the receipts of several tables have together at most. The oldest are dropped first,
/// whichever table they are of, but the newest of all stays unless a whole budget has no room.
public final class ReceiptBudget: Sendable {
    private struct Entry {
        weak var history: ReceiptHistory?
        let number: UInt64
    }

    private struct State {
        /// In the order in which they came. Those that a table dropped by itself are still here.
        var entries: [Entry] = []
        /// The entries before it are dropped.
        var first = 0
        var used = 0
    }

    private let state = Locked(State())
    private let bytes: Int
    private let whole: ReceiptBudget?

    /// A budget that nothing is charged to.
    ///
    /// - Parameters:
    ///   - bytes: the most bytes.
    ///   - whole: a budget that this one is a part of. Where the whole has no room, this one drops
    ///     its own receipts.
    public init(bytes: Int = 64 << 20, partOf whole: ReceiptBudget? = nil) {
        (self.bytes, self.whole) = (bytes, whole)
    }

    /// The bytes of all receipts.
    package var used: Int { state.withLock { $0.used } }

    func charge(_ amount: Int, for number: UInt64, of history: ReceiptHistory) {
        whole?.add(amount)
        // Released after the lock: the end of a history changes the budget.
        var touched: [ReceiptHistory?] = []
        let dropped = state.withLock { state in
            state.used += amount
            state.entries.append(Entry(history: history, number: number))
            var dropped = 0
            while state.first < state.entries.count - 1 && state.used - dropped > bytes
                || state.first < state.entries.count && whole?.exceeds(by: dropped) == true
            {
                let entry = state.entries[state.first]
                let history = entry.history
                touched.append(history)
                dropped += history?.drop(through: entry.number) ?? 0
                state.first += 1
            }
            state.used -= dropped
            // Only sometimes, so that each receipt costs the same.
            if state.first > max(state.entries.count / 2, 64) {
                state.entries.removeFirst(state.first)
                state.first = 0
            }
            return dropped
        }
        whole?.add(-dropped)
        prune()
        _ = consume touched
    }

    func release(_ amount: Int) {
        guard amount > 0 else { return }
        add(-amount)
        whole?.add(-amount)
    }

    private func add(_ amount: Int) { state.withLock { $0.used += amount } }

    private func exceeds(by dropped: Int) -> Bool { used - dropped > bytes }

    /// Removes entries whose receipts are gone, once in a while.
    private func prune() {
        var touched: [ReceiptHistory?] = []
        state.withLock { state in
            guard state.entries.count >= 1 << 12, state.entries.count.nonzeroBitCount == 1 else {
                return
            }
            state.entries.removeFirst(state.first)
            state.first = 0
            state.entries.removeAll { entry in
                let history = entry.history
                touched.append(history)
                return history?.contains(entry.number) != true
            }
        }
        _ = consume touched
    }
}

/// The present array of a table, and the former ones that its receipts lead back to.
///
/// A receipt has what its transaction changed, both before and after, so an array is found from the
/// next one. None is kept as a whole.
package struct KeptArrays {
    private let array: MemslotArray
    private let generation: Generation
    private let privateRanges: GuestRangeSet
    /// Those that led to the array, oldest first, without a gap: a history loses its oldest first.
    private let receipts: [Receipt]

    /// - Parameter receipts: the history of the table, which may go on after `generation`.
    package init(
        _ array: MemslotArray, _ generation: Generation,
        privateRanges: GuestRangeSet = GuestRangeSet(), history receipts: [Receipt]
    ) {
        (self.array, self.generation, self.privateRanges) = (array, generation, privateRanges)
        let receipts = receipts.filter { $0.generation <= generation }
        self.receipts = receipts.last?.generation == generation ? receipts : []
    }

    /// The oldest generation whose array is known.
    package var oldest: Generation { Generation(generation.rawValue - UInt64(receipts.count)) }

    /// The slots of a generation, ascending by key; `nil` if they are not known.
    package func slots(at wanted: Generation) -> [Memslot]? {
        guard (oldest...generation).contains(wanted) else { return nil }
        // What the slots that changed since were; `nil` for one that was not there.
        var former: [SlotKey: Memslot?] = [:]
        for diff in receipts.reversed().lazy.prefix(while: { $0.generation > wanted }).map(\.diff) {
            for slot in diff.added { former.updateValue(nil, forKey: slot.assignedKey) }
            let before = [diff.moved.map(\.before), diff.reflagged.map(\.before), diff.removed]
            for slot in before.joined() { former.updateValue(slot, forKey: slot.assignedKey) }
        }
        if former.isEmpty { return array.slots }
        let same = array.slots.filter { !former.keys.contains($0.assignedKey) }
        return (same + former.values.compactMap { $0 }).sortedByKey()
    }

    /// The private ranges of a generation whose slots are known.
    package func privateRanges(at wanted: Generation) -> [GuestRange] {
        var ranges = privateRanges
        ranges.apply(receipts.lazy.filter { $0.generation > wanted }.flatMap(\.attributes))
        return ranges.ranges
    }
}

extension Receipt {
    /// About how many bytes the receipt holds.
    fileprivate var heldBytes: Int {
        let slots =
            self.slots.count + diff.added.count + diff.removed.count
            + 2 * (diff.moved.count + diff.reflagged.count)
        let runs = unmappedDirtyPages.reduce(0) { $0 + $1.runs.count }
        let texts = (readers + warnings).reduce(0) { $0 + $1.utf8.count + 16 }
        let reports = observers.reduce(0) { $0 + 512 + $1.messages.count * 48 }
        return MemoryLayout<Receipt>.stride + texts + reports + operations.count
            * MemoryLayout<PlannedOperation>.stride + attributes.count
            * MemoryLayout<MemoryAttributeChange>.stride + slots * MemoryLayout<Memslot>.stride
            + unmappedDirtyPages.count * MemoryLayout<DirtyPages>.stride + runs
            * MemoryLayout<Range<UInt64>>.stride
    }
}
