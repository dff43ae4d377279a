internal import CLinux
internal import Glibc
internal import Memslots

/// Where a server's socket is.
public struct SocketPath: Hashable, Sendable {
    /// The path, at most 107 bytes.
    public let path: String

    /// Takes `path`.
    ///
    /// - Throws: a path that a socket can't have.
    public init(_ path: String) throws(ListeningError) {
        let limit = Int(clinux_path_limit())
        guard !path.isEmpty, path.utf8.first != UInt8(ascii: "@"), !path.utf8.contains(0) else {
            throw ListeningError("\"\(path)\" is no path of a socket")
        }
        guard path.utf8.count <= limit else {
            throw ListeningError(
                "\(path): the path has \(path.utf8.count) bytes; a socket's has at most \(limit)")
        }
        self.path = path
    }

    /// Where a daemon listens if nobody says otherwise.
    ///
    /// `$XDG_RUNTIME_DIR/memslots/memslotd.sock`; without that variable `/run/memslots/` for root,
    /// and `/tmp/memslots-UID/` for others.
    public static func standard() throws(ListeningError) -> SocketPath {
        let directory: String
        if let runtime = getenv("XDG_RUNTIME_DIR"), runtime.pointee == 0x2F {
            directory = String(cString: runtime) + "/memslots"
        } else {
            directory = geteuid() == 0 ? "/run/memslots" : "/tmp/memslots-\(geteuid())"
        }
        return try SocketPath(directory + "/memslotd.sock")
    }

    /// The directory of the path.
    var directory: String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The file that the server of this path holds locked. It stays: to remove it would let two
    /// servers lock two files of one name.
    var lockPath: String { path + ".lock" }
}
