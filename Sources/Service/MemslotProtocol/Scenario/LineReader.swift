import Glibc
public import Memslots

/// Splits what a source gives into lines, and keeps no more of it than one line.
public struct LineReader {
    /// Fills the buffer from its beginning; answers how many bytes, 0 at the end.
    public typealias Read = (UnsafeMutableRawBufferPointer) throws(Errno) -> Int

    /// How many lines were read.
    public private(set) var lineNumber = 0
    private let read: Read
    private let limit: Int
    private var chunk: [UInt8]
    private var start = 0
    private var end = 0
    private var isAtEnd = false

    /// Reads lines from a source.
    ///
    /// - Parameters:
    ///   - limit: the most bytes of a line.
    ///   - read: the source; asked only when a line is wanted.
    public init(limit: Int = 16 << 20, from read: @escaping Read) {
        self.read = read
        self.limit = limit
        self.chunk = Array(repeating: 0, count: 1 << 16)
    }

    /// Reads lines from an open file descriptor, which stays the caller's.
    public init(limit: Int = 16 << 20, descriptor: Int32) {
        self.init(limit: limit) { buffer throws(Errno) in
            while true {
                let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                if count >= 0 { return count }
                if errno != EINTR { throw Errno(rawValue: errno) }
            }
        }
    }

    /// Reads lines from bytes in memory.
    public init(limit: Int = 16 << 20, bytes: [UInt8]) {
        var position = 0
        self.init(limit: limit) { buffer throws(Errno) in
            let count = min(buffer.count, bytes.count - position)
            buffer.copyBytes(from: bytes[position..<position + count])
            position += count
            return count
        }
    }

    /// The next line without its end (`\n` or `\r\n`); `nil` after the last.
    ///
    /// - Throws: an over-long line, or an errno of the source.
    public mutating func next() throws(UnusableInput) -> [UInt8]? {
        var line: [UInt8] = []
        var isOpen = false
        while true {
            if start == end, try !fill() {
                return isOpen ? finished(line) : nil
            }
            isOpen = true
            let newline = chunk[start..<end].firstIndex(of: UInt8(ascii: "\n"))
            let stop = newline ?? end
            guard line.count + (stop - start) <= limit else {
                isAtEnd = true
                start = end
                throw UnusableInput(
                    line: lineNumber + 1, column: 1,
                    message: "expected a line of at most \(limit) bytes")
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
        // A result, because the array's closure would erase the error's type.
        let result = chunk.withUnsafeMutableBytes { buffer -> Result<Int, Errno> in
            do throws(Errno) { return .success(try read(buffer)) } catch { return .failure(error) }
        }
        switch result {
        case .success(let count):
            start = 0
            end = min(max(count, 0), chunk.count)
            isAtEnd = end == 0
            return !isAtEnd
        case .failure(let errno):
            isAtEnd = true
            throw UnusableInput(
                line: lineNumber + 1, column: 1, message: "can't be read: \(errno.name)")
        }
    }
}
