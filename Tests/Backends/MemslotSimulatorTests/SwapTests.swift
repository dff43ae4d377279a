import MemslotSimulator
import Memslots
import Testing

@Suite("how often the kernel exchanges its sets of slots")
struct SwapTests {
    var kernel = SimulatedKernel()

    @Test("once for a creation and a flag, twice for a deletion and a move")
    mutating func perClass() throws {
        let steps: [(Memslot, UInt64)] = [
            (slot(0, page: 16), 1),
            (slot(0, page: 16, flags: .logDirtyPages), 1),
            (slot(0, page: 16, flags: .logDirtyPages), 0),
            (slot(0, page: 32), 2),
            (slot(0, page: 32).deletion, 2),
        ]
        for (words, swaps) in steps {
            let before = kernel.swapCount
            try kernel.setMemoryRegion(words)
            #expect(kernel.swapCount - before == swaps)
        }
    }

    @Test("a refused call costs none, but a move past the largest guest page costs two")
    mutating func refused() throws {
        try kernel.setMemoryRegion(slot(0, page: 16))
        try kernel.setMemoryRegion(slot(1, page: 32))
        let before = kernel.swapCount
        let words = [
            slot(0, page: 32), slot(0, page: 16, pages: 9), slot(2, page: 1 << 40),
            slot(2, page: 99).deletion, slot(2, page: 99, flags: .guestMemfd),
        ]
        for words in words { #expect(kernel.errno(of: words) != nil) }
        #expect(kernel.swapCount == before)
        #expect(kernel.errno(of: slot(0, page: 1 << 40)) == .invalidArgument)
        #expect(kernel.swapCount == before + 2)
        #expect(kernel.slots == [slot(0, page: 16), slot(1, page: 32)])
    }
}
