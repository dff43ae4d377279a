internal import CLinux
internal import Glibc
internal import Memslots

/// The path of a server's socket.
public struct SocketPath: Hashable, Sendable {
    /// The path, at most 107 bytes.
    public let path: String

    /// A path.
    ///
    /// - Throws: where a socket can't have this path.
    public init(_ path: String) throws(ListeningError) {
        let limit = Int(clinux_path_limit())
        guard !path.isEmpty, path.utf8.first != UInt8(ascii: "@"), !path.utf8.contains(0) else {
            throw ListeningError("\"\(path)\" can't be the path of a socket")
        }
        guard path.utf8.count <= limit else {
            throw ListeningError(
                "\(path): the path has \(path.utf8.count) bytes; a socket's has at most \(limit)")
        }
        self.path = path
    }

    /// The path where a daemon listens by default.
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

    /// The socket of the packaged unit, which serves the whole machine.
    package static let ofMachine = "/run/memslots/memslotd.sock"

    /// Where a client searches for a daemon, in this order: ``standard()``, then the machine's.
    package static func searched() throws(ListeningError) -> [SocketPath] {
        let (own, machine) = (try standard(), try SocketPath(ofMachine))
        return own == machine ? [own] : [own, machine]
    }

    var directory: String { Self.directory(of: path) }

    /// The path without its last component.
    package static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Locked by the server. Never removed: two servers could lock two files of one name.
    var lockPath: String { path + ".lock" }

    func openLock() throws(ListeningError) -> Int32 {
        let name = lockPath
        let descriptor = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0o600)
        guard descriptor >= 0 else {
            throw ListeningError("\(name): can't be opened: \(Errno.last)")
        }
        var status = stat()
        let isOurs =
            fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
            && (status.st_uid == geteuid() || status.st_uid == 0)
        guard isOurs else {
            close(descriptor)
            throw ListeningError("\(name): is not a file of ours")
        }
        return descriptor
    }

    /// Creates the directory and the lock file of a server that confines itself before it listens.
    package func prepare(
        for access: PeerAccess
    ) throws(ListeningError) -> (directory: String, lock: String) {
        try prepareDirectory(for: access)
        close(try openLock())
        return (directory, lockPath)
    }

    /// Creates the socket's directory as private, or checks that an existing one can be trusted.
    func prepareDirectory(for access: PeerAccess) throws(ListeningError) {
        let path = directory
        guard mkdir(path, 0o700) == 0 else {
            guard errno == EEXIST else {
                throw ListeningError("\(path): the directory can't be made: \(Errno.last)")
            }
            return try Self.check(path)
        }
        // The groups that may connect may search a directory that we created.
        guard let group = access.group ?? access.readOnlyGroup else { return }
        guard chown(path, uid_t.max, group) == 0, chmod(path, 0o750) == 0 else {
            throw ListeningError("\(path): can't be given to group \(group): \(Errno.last)")
        }
        try access.addReadOnlyGroup(to: path, ownerBits: 7, bits: 5)
    }

    /// Checks that no other user can write to the directory and replace our socket.
    private static func check(_ path: String) throws(ListeningError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw ListeningError("\(path): can't be examined: \(Errno.last)")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw ListeningError("\(path): is not a directory")
        }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw ListeningError(
                "\(path): belongs to user \(status.st_uid), who could replace the socket; "
                    + "use a directory of your own")
        }
        let isOpen = status.st_mode & 0o022 != 0
        // In a sticky directory, such as /tmp, only root and we can replace our socket.
        guard !isOpen || status.st_mode & 0o1000 != 0 else {
            let mode = String(status.st_mode & 0o7777, radix: 8)
            throw ListeningError(
                "\(path): others may write to it (mode 0\(mode)) and "
                    + "could replace the socket; chmod go-w, or use another directory")
        }
    }
}

extension PeerAccess {
    /// Gives the second group the first one's permissions on `path`, where there are two.
    func addReadOnlyGroup(to path: String, ownerBits: UInt32, bits: UInt32) throws(ListeningError) {
        guard let group, let readOnlyGroup, group != readOnlyGroup else { return }
        let status = clinux_allow_group(path, readOnlyGroup, ownerBits, bits)
        guard status == 0 else {
            throw ListeningError(
                "\(path): group \(readOnlyGroup) can't be added to an access list: "
                    + "\(Errno(rawValue: -status)); let systemd make the socket")
        }
    }
}
