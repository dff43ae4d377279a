import Testing

@testable import MemslotPicture

@Suite("text table")
struct TextTableTests {
    private static func table() -> TextTable {
        var table = TextTable(columns: [
            .init("generation", .trailing), .init("calls", .trailing), .init("change"),
        ])
        table.append(["1", "12", "added 0 1 2 3"])
        table.append(["20", "3", .init("moved 4 from 0xfd000000", ink: .blue)])
        table.append(["21"])
        return table
    }

    @Test("numbers stand at the right, words at the left, and no line ends in spaces")
    func alignment() {
        #expect(
            Self.table().lines() == [
                "generation  calls  change",
                "         1     12  added 0 1 2 3",
                "        20      3  moved 4 from 0xfd000000",
                "        21",
            ])
    }

    @Test("a last column that is too wide goes on below")
    func overflow() {
        #expect(
            Self.table().lines(width: 32) == [
                "generation  calls  change",
                "         1     12  added 0 1 2 3",
                "        20      3  moved 4 from",
                "                   0xfd000000",
                "        21",
            ])
    }

    @Test("no line is wider than the limit, and no word is lost", arguments: 32...60)
    func width(_ width: Int) {
        let lines = Self.table().lines(width: width).flatMap {
            folded($0, to: width).split(separator: "\n")
        }
        #expect(lines.allSatisfy { $0.count <= width }, "\(lines)")
        #expect(
            lines.joined().contains("added") && lines.joined().filter(\.isNumber).hasSuffix("21"))
    }

    @Test("a line that is too wide goes on below, indented; one that fits is unchanged")
    func folding() {
        #expect(folded("  a line of words", to: 20) == "  a line of words")
        #expect(
            folded("  some words and one more line of them", to: 20)
                == "  some words and one\n    more line of\n    them")
        #expect(folded(String(repeating: "x", count: 30), to: 20).split(separator: "\n").count == 2)
        #expect(folded("some words and one more line of them", to: nil).count == 36)
    }

    @Test("colour surrounds the text and does not move it")
    func colour() {
        let lines = Self.table().lines(colour: true)
        #expect(lines[2] == "        20      3  \u{1b}[94mmoved 4 from 0xfd000000\u{1b}[0m")
    }

    @Test("a wide character takes two columns, and a control character none of the terminal")
    func characters() {
        var table = TextTable(columns: [.init(""), .init("")])
        table.append(["内存", "a"])
        table.append(["\u{1b}[2Jx", "b"])
        #expect(table.lines() == ["内存   a", "?[2Jx  b"])
    }
}
