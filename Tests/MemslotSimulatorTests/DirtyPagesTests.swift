import Memslots
import Testing

@testable import MemslotSimulator

@Suite("dirty pages of a simulated slot")
struct DirtyPagesTests {
    @Test(
        "random marks and clears are those of a plain bitmap",
        arguments: [1, 63, 64, 32_768, 100_003] as [UInt64])
    func againstBitmap(pageCount: UInt64) {
        var random = Xorshift(state: pageCount)
        for startsFull in [false, true] {
            var pages = DirtyPages(pageCount: pageCount, startsFull: startsFull)
            var plain = DirtyBitmap(pageCount: pageCount)
            if startsFull { plain.insert(0..<pageCount) }
            var differences = pages.bitmap == plain ? 0 : 1
            for _ in 0..<60 {
                let first = random.next() % pageCount
                let count = random.next() % (random.next() % 2 == 0 ? 200 : pageCount)
                let end = min(first + count, pageCount)
                pages.insert(first..<end)
                plain.insert(first..<end)
                let word = random.next() % ((pageCount + 63) / 64)
                let bits = random.next()
                pages.remove([bits, bits], from: word * 64)
                for bit in 0..<128 as Range<UInt64> where bits >> (bit % 64) & 1 == 1 {
                    let page = word * 64 + bit
                    if page < pageCount { plain.remove(page..<page + 1) }
                }
                if pages.bitmap != plain { differences += 1 }
            }
            #expect(differences == 0)
            pages.removeAll()
            #expect(pages.bitmap.isEmpty)
        }
    }

    @Test("a log of 8 TiB costs nothing until it is touched")
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
