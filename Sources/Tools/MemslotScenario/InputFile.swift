internal import Glibc
internal import Memslots

/// A file named on the command line, open for reading.
package struct InputFile: ~Copyable {
    /// How messages name it.
    package let name: String
    /// Bytes, where the file is an ordinary one.
    package let size: Int?
    /// Open for reading; closed with this value.
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

    /// How far the file has been read, in bytes.
    package var position: Int { max(0, Int(lseek(descriptor, 0, SEEK_CUR))) }

    /// All of the file, at most `limit` bytes.
    package func bytes(limit: Int = 1 << 30) throws(UnusableFile) -> [UInt8] {
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return all }
            if count < 0 && errno == EINTR { continue }
            guard count > 0, all.count + count <= limit else {
                let reason = count < 0 ? Errno(rawValue: errno).name : "over \(limit) bytes"
                throw UnusableFile("\(name): can't be read: \(reason)")
            }
            all += chunk[..<count]
        }
    }

    /// What is wrong with the file, as the error of the command.
    package func unusable(_ input: UnusableInput) -> UnusableFile {
        UnusableFile(input.described(in: name))
    }
}

/// A file can't be used. A command that throws this prints the message and ends with status 2.
package struct UnusableFile: Error {
    /// Which file, where, and why.
    package let message: String

    package init(_ message: String) { self.message = message }
}
