import ArgumentParser
import Glibc
import MemslotProtocol
import Memslots

/// A file named on the command line, open for reading.
struct InputFile: ~Copyable {
    let name: String
    /// Bytes, where the file is an ordinary one.
    let size: Int?
    let descriptor: Int32

    /// Opens `name`; `-` is standard input.
    ///
    /// - Throws: the exit status for unusable input, once the reason was told.
    init(_ name: String) throws(ExitCode) {
        self.name = name == "-" ? "standard input" : name
        descriptor = name == "-" ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            Terminal.complain("\(name): can't be opened: \(Errno(rawValue: errno).name)")
            throw .unusable
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            Terminal.complain("\(name): is a directory; name the files in it")
            throw .unusable
        }
        size = status.st_mode & S_IFMT == S_IFREG ? Int(status.st_size) : nil
    }

    deinit { if descriptor > STDERR_FILENO { close(descriptor) } }

    /// How far the file has been read, in bytes.
    var position: Int { max(0, Int(lseek(descriptor, 0, SEEK_CUR))) }

    /// All of the file, at most `limit` bytes.
    func bytes(limit: Int = 1 << 30) throws(ExitCode) -> [UInt8] {
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return all }
            if count < 0 && errno == EINTR { continue }
            guard count > 0, all.count + count <= limit else {
                let reason = count < 0 ? Errno(rawValue: errno).name : "over \(limit) bytes"
                Terminal.complain("\(name): can't be read: \(reason)")
                throw .unusable
            }
            all += chunk[..<count]
        }
    }

    /// Tells what is wrong with the file.
    func unusable(_ input: UnusableInput) -> ExitCode {
        Terminal.complain(input.described(in: name))
        return .unusable
    }
}

extension ExitCode {
    /// The input can't be used.
    static let unusable = ExitCode(2)
    /// There is no `/dev/kvm`.
    static let noKVM = ExitCode(3)
}
