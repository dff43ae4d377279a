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
}
