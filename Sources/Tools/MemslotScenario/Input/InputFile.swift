import Glibc
package import MemslotProtocol
import Memslots

package struct InputFile: ~Copyable {
    package let name: String
    /// Its size in bytes; `nil` if it is not a regular file.
    package let size: Int?
    package let descriptor: Int32

    /// Opens `name`; `-` is standard input.
    package init(_ name: String) throws(UnusableFile) {
        self.name = name == "-" ? "standard input" : name
        descriptor = name == "-" ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            throw UnusableFile("\(name): can't be opened: \(Errno(rawValue: errno).name)")
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            throw UnusableFile("\(name): is a directory; name the files in it")
        }
        size = status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
    }

    deinit { if descriptor > STDERR_FILENO { close(descriptor) } }

    package var position: Int { max(0, Int(lseek(descriptor, 0, SEEK_CUR))) }

    /// - Throws: if it can't be read, or has more than 1 GiB.
    package func bytes() throws -> [UInt8] {
        var all: [UInt8] = []
        try forEachChunk { chunk in
            guard all.count + chunk.count <= Self.limit else {
                throw UnusableFile("\(name): can't be read: over \(Self.limit) bytes")
            }
            all += chunk
        }
        return all
    }

    private static let limit = 1 << 30

    /// Passes the file to `body` in chunks of at most 1 MiB. Throws too if it can't be read.
    package func forEachChunk(_ body: (ArraySlice<UInt8>) throws -> Void) throws {
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                throw UnusableFile("\(name): can't be read: \(Errno(rawValue: errno).name)")
            }
            try body(chunk[..<count])
        }
    }

    /// `FILE:3:5: expected …`, as compilers print it.
    package func unusable(_ input: UnusableInput) -> UnusableFile {
        UnusableFile("\(name):\(input.line):\(input.column): \(input.message)")
    }
}

/// A file can't be used. A command that throws this prints the place and reason, and ends with 2.
package struct UnusableFile: Error {
    package let message: String

    package init(_ message: String) { self.message = message }
}

package struct UnusableInput: Error, Hashable, Sendable, CustomStringConvertible {
    /// The line, from 1.
    package var line: Int
    /// The column in characters, from 1.
    package var column: Int
    package var message: String

    package init(line: Int = 1, column: Int = 1, message: String) {
        (self.line, self.column, self.message) = (line, column, message)
    }

    /// `line 3, column 5: expected …`.
    package var description: String { "line \(line), column \(column): \(message)" }
}

extension ParameterReader {
    package static func read<Object: ParameterObject>(
        _ value: JSONValue, line: Int, as type: Object.Type
    ) throws(UnusableInput) -> Object {
        var object = Object()
        var reader = ParameterReader(value)
        reader.object(at: value.node, into: &object)
        if let fault = reader.fault {
            let position = JSONValue(document: value.document, node: fault.node).position
            throw UnusableInput(
                line: line, column: position.column,
                message: (fault.path.isEmpty ? "" : fault.path + ": ") + fault.message)
        }
        return object
    }
}
