import Memslots
import Testing

@testable import MemslotSimulator

@Suite("dirty logs of large slots")
struct LargeLogTests {
    @Test("a log of 8 TiB takes no memory until a page is dirty")
    func sparse() throws {
        var kernel = SimulatedKernel()
        let pages = (UInt64(1) << 31) - 1
        for id in 0..<500 as Range<UInt32> {
            var words = slot(id, page: UInt64(id) << 31, pages: pages, flags: .logDirtyPages)
            words.userspaceAddress = UserspaceAddress(0)
            try kernel.setMemoryRegion(words)
        }
        try kernel.touch(GuestPhysicalAddress(5 << 43), size: .pages(pages))
        #expect(kernel.slotCount == 500)
    }
}
