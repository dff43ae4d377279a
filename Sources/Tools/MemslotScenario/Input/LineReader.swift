import Glibc
import Memslots

/// Splits a source into lines. Keeps only one line in memory.
package struct LineReader {
    package private(set) var lineNumber = 0
    /// `nil` for bytes in memory.
    private let descriptor: Int32?
    private var chunk: [UInt8] = []
    private var splitter: LineSplitter
    private var isAtEnd: Bool

    /// Reads lines from an open file descriptor, which the caller closes, only on request.
    package init(limit: Int = 16 << 20, descriptor: Int32) {
        (self.descriptor, splitter, isAtEnd) = (descriptor, LineSplitter(limit: limit), false)
        chunk = Array(repeating: 0, count: 1 << 16)
    }

    package init(limit: Int = 16 << 20, bytes: [UInt8]) {
        (descriptor, splitter, isAtEnd) = (nil, LineSplitter(limit: limit), true)
        splitter.add(bytes[...])
    }

    /// The next line without its end (`\n` or `\r\n`); `nil` after the last.
    package mutating func next() throws(UnusableInput) -> [UInt8]? {
        while true {
            let line = splitter.next() ?? (isAtEnd ? splitter.remainder() : nil)
            if splitter.overlongLines > 0 {
                throw failure("expected a line of at most \(splitter.limit) bytes")
            }
            if let line {
                lineNumber += 1
                return Array(line)
            }
            if isAtEnd { return nil }
            try fill()
        }
    }

    private mutating func fill() throws(UnusableInput) {
        guard let descriptor else { return }
        var count: Int
        repeat { count = read(descriptor, &chunk, chunk.count) } while count < 0 && errno == EINTR
        guard count >= 0 else { throw failure("can't be read: \(Errno(rawValue: errno).name)") }
        isAtEnd = count == 0
        splitter.add(chunk[..<count])
    }

    /// Ends the source.
    private mutating func failure(_ message: String) -> UnusableInput {
        (splitter, isAtEnd) = (LineSplitter(limit: splitter.limit), true)
        return UnusableInput(line: lineNumber + 1, message: message)
    }
}

/// Splits chunks of bytes into lines, of which those longer than `limit` are truncated.
package struct LineSplitter {
    package let limit: Int
    package private(set) var overlongLines = 0
    private var chunk: ArraySlice<UInt8> = []
    private var carried: [UInt8] = []
    private var isOverlong = false

    package init(limit: Int) { self.limit = limit }

    /// Adds a chunk, after all lines of the one before.
    package mutating func add(_ bytes: ArraySlice<UInt8>) { chunk = bytes }

    /// The next line without its end; `nil` if that is not in the chunk.
    package mutating func next() -> ArraySlice<UInt8>? {
        guard let end = chunk.firstIndex(of: UInt8(ascii: "\n")) else {
            carry(chunk)
            chunk = []
            return nil
        }
        let head = chunk[..<end]
        chunk = chunk[(end + 1)...]
        // Most lines are whole, and need no copy.
        if carried.isEmpty, head.count <= limit { return Self.withoutReturn(head) }
        carry(head)
        return remainder()
    }

    /// The bytes after the last line's end; `nil` if there are none.
    package mutating func remainder() -> ArraySlice<UInt8>? {
        defer { (carried, isOverlong) = ([], false) }
        return carried.isEmpty ? nil : Self.withoutReturn(carried[...])
    }

    private mutating func carry(_ bytes: ArraySlice<UInt8>) {
        let room = limit - carried.count
        carried += bytes.prefix(room)
        if bytes.count > room, !isOverlong {
            isOverlong = true
            overlongLines += 1
        }
    }

    private static func withoutReturn(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        line.last == UInt8(ascii: "\r") ? line.dropLast() : line
    }
}
