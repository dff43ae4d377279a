import Memslots
import Testing

@testable import MemslotLab

@Suite("the arrays of a torture")
struct LayoutSequenceTests {
    private let region = TortureRegion(
        mappings: (UserspaceAddress(0x1000_0000), UserspaceAddress(0x2000_0000)))

    @Test(
        "each maps all host pages at their addresses and differs from the last",
        arguments: TortureChange.allCases)
    func whole(change: TortureChange) {
        var layouts = LayoutSequence(region, change: change, seed: 7)
        var last: [Memslot] = []
        var faults: [String] = []
        var unlogged = 0
        for turn in 0..<500 {
            let slots = layouts.next()
            var pages: [UInt64] = []
            for slot in slots {
                let used = region.usedPages(of: slot)
                for page in used {
                    pages.append(page)
                    let offset =
                        region.address(of: page).rawValue
                        - slot.guestPhysicalAddress.rawValue
                    let host = slot.userspaceAddress.rawValue + offset
                    if host & 0xfff_ffff != page * 4096 { faults.append("\(turn) page \(page)") }
                }
            }
            if pages.sorted() != Array(0..<TortureRegion.pageCount) {
                faults.append("\(turn): \(pages)")
            }
            if slots == last { faults.append("\(turn): as before") }
            if slots.map(\.assignedID.rawValue) != slots.map(\.assignedID.rawValue).sorted() {
                faults.append("\(turn): ids out of order")
            }
            if !slots.allSatisfy(\.isLogging) { unlogged += 1 }
            last = slots
        }
        #expect(faults.isEmpty, "\(faults.prefix(3))")
        #expect(unlogged > 50 && unlogged < 250)
    }

    @Test("those for huge pages often change logging alone, of quarters of 2 MiB")
    func huge() {
        var region = region
        region.stride = 128
        var layouts = LayoutSequence(region, change: .mix, seed: 7)
        var (last, toggles): ([Memslot], Int) = ([], 0)
        for _ in 0..<500 {
            let slots = layouts.next()
            let opposite = last.map { slot in
                var slot = slot
                slot.flags.formSymmetricDifference(.logDirtyPages)
                return slot
            }
            if slots == opposite { toggles += 1 }
            #expect(slots.allSatisfy { $0.size.rawValue % 0x8_0000 == 0 })
            #expect(
                slots.reduce(0) { $0 + region.usedPages(of: $1).count } == 16, "\(slots)")
            last = slots
        }
        #expect(toggles > 200 && toggles < 300)
    }

    @Test("a seed repeats the arrays")
    func seeds() {
        func arrays(_ seed: UInt64) -> [[Memslot]] {
            var layouts = LayoutSequence(region, change: .mix, seed: seed)
            return (0..<50).map { _ in layouts.next() }
        }
        #expect(arrays(3) == arrays(3))
        #expect(arrays(3) != arrays(4))
    }
}
