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
        // 100 MB of source in reads of at most 64 KiB: only what a line needs is asked for.
        var given = 0
        var reader = LineReader { buffer in
            let count = min(buffer.count, 100_000_000 - given)
            for index in 0..<count {
                buffer[index] = (given + index) % 100_000 == 99_999 ? 0x0A : 0x61
            }
            given += count
            return .success(count)
        }
        for number in 1...5 {
            let line = try #require(try reader.next())
            #expect(line.count == 99_999)
            #expect(line.allSatisfy { $0 == 0x61 })
            #expect(reader.lineNumber == number)
        }
        #expect(given < 700_000)
    }

    @Test("a source that fails is an error with its errno")
    func failure() throws {
        var reader = LineReader { _ in .failure(.ioError) }
        let error = #expect(throws: UnusableInput.self) { try reader.next() }
        #expect(error?.message.contains("EIO") == true)
        #expect(try reader.next() == nil)
    }
}
