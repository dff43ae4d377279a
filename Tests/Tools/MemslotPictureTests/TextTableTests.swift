import MemslotPicture
import Testing

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

    @Test("a last column that is too wide is cut, or goes on below")
    func overflow() {
        let cut = Self.table().lines(width: 32)
        #expect(cut[2] == "        20      3  moved 4 from…")
        let wrapped = Self.table().lines(width: 32, overflow: .wrap)
        #expect(
            wrapped == [
                "generation  calls  change",
                "         1     12  added 0 1 2 3",
                "        20      3  moved 4 from",
                "                   0xfd000000",
                "        21",
            ])
    }

    @Test("no line is wider than the limit, however small that is", arguments: 1...60)
    func width(_ width: Int) {
        for overflow in [TextTable.Overflow.cut, .wrap] {
            let lines = Self.table().lines(width: width, overflow: overflow)
            #expect(lines.allSatisfy { $0.count <= width })
        }
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
