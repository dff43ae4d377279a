import Glibc
import MemslotProtocol
import MemslotScenario
import Memslots
import Testing

@Suite("Lines")
struct LineReaderTests {
    private func lines(_ text: String, limit: Int = 100) throws -> [String] {
        var reader = LineReader(limit: limit, bytes: Array(text.utf8))
        var lines: [String] = []
        while let line = try reader.next() { lines.append(String(decoding: line, as: UTF8.self)) }
        return lines
    }

    @Test("a line ends at a newline, a return before it, or the end")
    func ends() throws {
        #expect(try lines("a\n\nb\r\nc\rd") == ["a", "", "b", "c\rd"])
        #expect(try lines("a\n") == ["a"])
        #expect(try lines("") == [])
        #expect(try lines("\n") == [""])
    }

    @Test("a line up to the limit is taken, a longer one is an error with its number")
    func limit() throws {
        #expect(try lines("1\n" + String(repeating: "x", count: 100)).count == 2)
        let error = #expect(throws: UnusableInput.self) {
            try lines("1\n" + String(repeating: "x", count: 101))
        }
        #expect(error?.line == 2)
    }

    @Test("lines longer than a read are put together, and no more is read than is wanted")
    func streaming() throws {
        // Reads of at most 64 KiB: only what a line needs is asked for.
        let file = try #require(tmpfile())
        defer { fclose(file) }
        let line = String(repeating: "a", count: 99_999) + "\n"
        try writeAll(Array(String(repeating: line, count: 10).utf8), to: fileno(file))
        lseek(fileno(file), 0, SEEK_SET)
        var reader = LineReader(descriptor: fileno(file))
        for number in 1...5 {
            let line = try #require(try reader.next())
            #expect(line.count == 99_999)
            #expect(line.allSatisfy { $0 == 0x61 })
            #expect(reader.lineNumber == number)
        }
        #expect(lseek(fileno(file), 0, SEEK_CUR) < 700_000)
    }

    @Test("a source that fails is an error with its errno")
    func failure() throws {
        var reader = LineReader(descriptor: -1)
        let error = #expect(throws: UnusableInput.self) { try reader.next() }
        #expect(error?.message.contains("EBADF") == true)
        #expect(try reader.next() == nil)
    }
}
