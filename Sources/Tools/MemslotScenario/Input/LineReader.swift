import Glibc
package import Memslots

/// Splits a source into lines. Keeps only one line in memory.
package struct LineReader {
    /// Fills the buffer from its start; returns the number of bytes, 0 at the end.
    package typealias Read = (UnsafeMutableRawBufferPointer) -> Result<Int, Errno>

    package private(set) var lineNumber = 0
    private let read: Read
    private let limit: Int
    private var chunk: [UInt8]
    private var start = 0
    private var end = 0
    private var isAtEnd = false

    /// Reads lines of at most `limit` bytes from a source, which is read only when a line is requested.
    package init(limit: Int = 16 << 20, from read: @escaping Read) {
        self.read = read
        self.limit = limit
        self.chunk = Array(repeating: 0, count: 1 << 16)
    }

    /// Reads lines from an open file descriptor, which the caller closes.
    package init(limit: Int = 16 << 20, descriptor: Int32) {
        self.init(limit: limit) { buffer in
            while true {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if count >= 0 { return .success(count) }
                if errno != EINTR { return .failure(Errno(rawValue: errno)) }
            }
        }
    }

    /// Reads lines from bytes in memory.
    package init(limit: Int = 16 << 20, bytes: [UInt8]) {
        var position = 0
        self.init(limit: limit) { buffer in
            let count = min(buffer.count, bytes.count - position)
            buffer.copyBytes(from: bytes[position..<position + count])
            position += count
            return .success(count)
        }
    }

    /// The next line without its end (`\n` or `\r\n`); `nil` after the last.
    ///
    /// - Throws: an over-long line, or an errno of the source.
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
        guard !isAtEnd else { return false }
        switch chunk.withUnsafeMutableBytes(read) {
        case .success(let count):
            start = 0
            end = min(max(count, 0), chunk.count)
            isAtEnd = end == 0
            return !isAtEnd
        case .failure(let errno):
            isAtEnd = true
            throw UnusableInput(line: lineNumber + 1, message: "can't be read: \(errno.name)")
        }
    }
}
