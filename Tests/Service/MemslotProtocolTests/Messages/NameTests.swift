import MemslotProtocol
import Testing

@Suite("a name as a key")
struct NameTests {
    @Test("it equals only the same bytes, and is ordered by them")
    func bytes() {
        let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
        // As Swift compares them, they are equal.
        #expect(composed == decomposed)
        #expect(Name(composed) != Name(decomposed))
        #expect(Name(composed) == Name(String(decoding: Array(composed.utf8), as: UTF8.self)))
        #expect(Set([Name(composed), Name(decomposed), Name(composed)]).count == 2)
        #expect(Name(decomposed) < Name(composed))
        #expect(!(Name(composed) < Name(decomposed)) && !(Name("a") < Name("a")))
    }
}
