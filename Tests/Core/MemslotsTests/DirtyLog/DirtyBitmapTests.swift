import Memslots
import Testing

@Suite("dirty bitmap")
struct DirtyBitmapTests {
    @Test("runs join touching pages across words")
    func runs() {
        var bitmap = DirtyBitmap(pageCount: 200)
        bitmap.insert(60..<70)
        bitmap.insert(128..<129)
        bitmap.insert(199..<200)
        #expect(bitmap.runs == [60..<70, 128..<129, 199..<200])
        #expect(bitmap.count == 12)
        bitmap.remove(64..<128)
        #expect(bitmap.runs == [60..<64, 128..<129, 199..<200])
    }

    @Test("bytes begin at the page asked for, and end with it")
    func bytes() {
        var bitmap = DirtyBitmap(pageCount: 200)
        bitmap.insert(63..<66)
        bitmap.insert(72..<80)
        #expect(bitmap.bytes(of: 62..<75) == [0b0000_1110, 0b0001_1100])
        #expect(bitmap.bytes(of: 0..<0).isEmpty)
    }

    @Test("bits past the last page are dropped")
    func tail() {
        let bitmap = DirtyBitmap(pageCount: 3, words: [~0])
        #expect(bitmap.count == 3)
        #expect(bitmap.runs == [0..<3])
    }

    @Test(
        "random marks, clears and unions are those of a plain set of pages",
        arguments: [1, 63, 64, 32_768, 100_003] as [UInt64])
    func againstSet(pageCount: UInt64) {
        var random = SystemRandomNumberGenerator()
        func pages() -> Range<UInt64> {
            let first = UInt64.random(in: 0..<pageCount, using: &random)
            let most = Bool.random() ? 200 : pageCount
            return first..<min(first + UInt64.random(in: 0...most, using: &random), pageCount)
        }
        for isFull in [false, true] {
            var bitmap = DirtyBitmap(pageCount: pageCount, isFull: isFull)
            var plain = [Bool](repeating: isFull, count: Int(pageCount))
            var differences = 0
            for round in 0..<40 {
                let range = pages()
                switch round % 4 {
                case 0, 1:
                    bitmap.insert(range)
                    for page in range { plain[Int(page)] = true }
                case 2:
                    bitmap.remove(range)
                    for page in range { plain[Int(page)] = false }
                default:
                    var other = DirtyBitmap(pageCount: pageCount)
                    other.insert(range)
                    bitmap.formUnion(other)
                    for page in range { plain[Int(page)] = true }
                    let word = UInt64.random(in: 0..<(pageCount + 63) / 64, using: &random)
                    let bits = UInt64.random(in: .min ... .max, using: &random)
                    bitmap.remove([bits, bits], from: word * 64)
                    for bit in 0..<128 as Range<UInt64> where bits >> (bit % 64) & 1 == 1 {
                        let page = Int(word * 64 + bit)
                        if page < plain.count { plain[page] = false }
                    }
                }
                if bitmap.count != plain.count(where: { $0 }) { differences += 1 }
                let words = bitmap.words(of: 0..<pageCount)
                if bitmap != DirtyBitmap(pageCount: pageCount, words: words) { differences += 1 }
                let reported = bitmap.runs.reduce(
                    into: [Bool](repeating: false, count: plain.count)
                ) {
                    for page in $1 { $0[Int(page)] = true }
                }
                if reported != plain { differences += 1 }
                if bitmap.isEmpty != !plain.contains(true) { differences += 1 }
            }
            #expect(differences == 0)
        }
    }

    @Test("a bitmap of 8 TiB costs nothing until it is written")
    func sparse() {
        let pageCount = (UInt64(1) << 31) - 1
        let bitmaps = (0..<1_000).map { _ in DirtyBitmap(pageCount: pageCount, isFull: true) }
        #expect(bitmaps.allSatisfy { $0.count == pageCount && $0.runs == [0..<pageCount] })
    }
}
