import Glibc
import Memslots

/// Splits a source into lines. Keeps only one line in memory.
package struct LineReader {
    package private(set) var lineNumber = 0
    private let limit: Int
    /// `nil` for bytes in memory, which are the chunk.
    private let descriptor: Int32?
    private var chunk: [UInt8]
    private var start = 0
    private var end = 0
    private var isAtEnd = false

    /// Reads lines from an open file descriptor, which the caller closes, only on request.
    package init(limit: Int = 16 << 20, descriptor: Int32) {
        (self.limit, self.descriptor) = (limit, descriptor)
        chunk = Array(repeating: 0, count: 1 << 16)
    }

    package init(limit: Int = 16 << 20, bytes: [UInt8]) {
        (self.limit, descriptor) = (limit, nil)
        (chunk, end) = (bytes, bytes.count)
    }

    /// The next line without its end (`\n` or `\r\n`); `nil` after the last.
    package mutating func next() throws(UnusableInput) -> [UInt8]? {
        var line: [UInt8] = []
        var isOpen = false
        while true {
            if start == end, try !fill() { return isOpen ? finished(line) : nil }
            isOpen = true
            let newline = chunk[start..<end].firstIndex(of: UInt8(ascii: "\n"))
            let stop = newline ?? end
            guard line.count + (stop - start) <= limit else {
                isAtEnd = true
                start = end
                throw UnusableInput(
                    line: lineNumber + 1, message: "expected a line of at most \(limit) bytes")
            }
            line.append(contentsOf: chunk[start..<stop])
            start = newline.map { $0 + 1 } ?? end
            if newline != nil { return finished(line) }
        }
    }

    private mutating func finished(_ line: [UInt8]) -> [UInt8] {
        lineNumber += 1
        return line.last == UInt8(ascii: "\r") ? line.dropLast() : line
    }

    private mutating func fill() throws(UnusableInput) -> Bool {
        guard let descriptor, !isAtEnd else { return false }
        var count: Int
        repeat { count = read(descriptor, &chunk, chunk.count) } while count < 0 && errno == EINTR
        let reason = count < 0 ? Errno(rawValue: errno).name : nil
        (start, end, isAtEnd) = (0, max(count, 0), count <= 0)
        if let reason {
            throw UnusableInput(line: lineNumber + 1, message: "can't be read: \(reason)")
        }
        return !isAtEnd
    }
}
