import Memslots
import Testing

@testable import MemslotLab

@Suite("dirty logs and guest writes")
struct GuestWriteLedgerTests {
    private let region = TortureRegion(
        mappings: (UserspaceAddress(0x1000_0000), UserspaceAddress(0x2000_0000)))
    private let none = [UInt64](repeating: 0, count: 16)

    private func written(_ pages: Int...) -> [UInt64] {
        var writes = none
        for page in pages { writes[page] = 1 }
        return writes
    }

    private func receipt(_ dirty: [DirtyPages] = []) -> Receipt {
        var receipt = Receipt(
            generation: Generation(2), outcome: .committed,
            diff: MemslotDiff(from: .empty, to: .empty), operations: [])
        receipt.unmappedDirtyPages = dirty
        return receipt
    }

    @Test("a written page that is not reported is lost")
    func lost() {
        let slots = [region.slot(1)]
        var ledger = GuestWriteLedger(slots, of: [region], writes: none)
        ledger.settle([DirtyPages(slot: slots[0], runs: [3..<4])], writes: written(3, 5))
        #expect(ledger.lost == 1)
        #expect(ledger.owedInAll == 2)
        // Reported or lost, it is no longer owed.
        ledger.settle([], writes: written(3, 5))
        #expect(ledger.lost == 1)
    }

    @Test("a page is reported by any slot that maps its host page")
    func alias() {
        let slots = [region.slot(1, at: TortureRegion.aside), region.slot(2, second: true)]
        var ledger = GuestWriteLedger(slots, of: [region], writes: none)
        ledger.settle([DirtyPages(slot: slots[0], runs: [3..<4])], writes: written(3))
        #expect(ledger.lost == 0)
        let half = region.slot(4, 8..<16)
        ledger.settle([DirtyPages(slot: half, runs: [1..<2])], writes: written(3, 9))
        #expect(ledger.lost == 0)
    }

    @Test("a page that is no longer logged must be in the receipt")
    func unlogged() {
        let logging = [region.slot(1)]
        var silent = logging
        silent[0].flags = []
        for isReported in [false, true] {
            var ledger = GuestWriteLedger(logging, of: [region], writes: none)
            ledger.observe(written(7))
            let pages = isReported ? [DirtyPages(slot: logging[0], runs: [7..<8])] : []
            ledger.settle(receipt(pages), now: silent, writes: written(7, 8))
            #expect(ledger.lost == (isReported ? 0 : 1))
            // Writes in between need no report, even when the slot logs again.
            ledger.observe(written(7, 8, 9))
            ledger.settle(receipt(), now: logging, writes: written(7, 8, 9))
            ledger.settle([], writes: written(7, 8, 9))
            #expect(ledger.lost == (isReported ? 0 : 1))
        }
    }

    @Test("a page of either address space is reported by any slot of its host page")
    func spaces() {
        var second = region
        second.space = AddressSpaceID(rawValue: 1)
        let slots = [region.slot(1), second.slot(1)]
        // Page 3 of address space 1 is page 11 of address space 0, and page 9 is its own.
        let writes = none + written(3, 9)
        var ledger = GuestWriteLedger(slots, of: [region, second], writes: none + none)
        ledger.settle([DirtyPages(slot: slots[0], runs: [11..<12])], writes: writes)
        #expect(ledger.lost == 1)
        #expect(ledger.owedInAll == 2)
        ledger = GuestWriteLedger(slots, of: [region, second], writes: none + none)
        ledger.observe(writes)
        let pages = [DirtyPages(slot: slots[1], runs: [9..<10])]
        ledger.settle(receipt(pages), now: [slots[0]], writes: writes)
        #expect(ledger.lost == 0)
        ledger.settle([], writes: writes)
        #expect(ledger.lost == 1)
    }

    @Test("a page that another slot keeps logging stays owed")
    func carried() {
        let before = [region.slot(1)]
        let after = [region.slot(1, 0..<8), region.slot(2, 8..<16)]
        var ledger = GuestWriteLedger(before, of: [region], writes: none)
        ledger.observe(written(9))
        ledger.settle(receipt(), now: after, writes: written(9))
        #expect(ledger.lost == 0)
        ledger.settle([DirtyPages(slot: after[0], runs: [0..<8])], writes: written(9))
        #expect(ledger.lost == 1)
    }
}
