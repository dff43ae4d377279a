internal import CLinux
internal import Glibc
internal import Memslots
internal import Synchronization

/// A socket that listens: created at a path, or passed by systemd.
public final class Listener: Sendable {
    /// Its path; `nil` for a socket that was passed.
    public let path: SocketPath?
    let descriptor: Int32
    /// The lock file, locked while we listen; -1 for none.
    private let lock: Int32
    /// The socket's inode, so that another server's socket is never removed.
    private let inode: UInt64
    private let isOpen = Atomic<Bool>(true)

    private static let backlog: Int32 = 512

    /// Creates a socket at `path` for the users and groups of `access`, whose mode is set before
    /// anyone can connect, and a missing directory with mode 0700. A socket whose server has ended
    /// is replaced. Throws for instance where another server listens.
    package init(at path: SocketPath, access: PeerAccess = PeerAccess()) throws(ListeningError) {
        try path.prepareDirectory(for: access)
        lock = try Self.lock(path)
        do throws(ListeningError) {
            try Self.removeStale(path)
            descriptor = try Self.bind(path, access)
        } catch {
            close(lock)
            throw error
        }
        self.path = path
        var status = stat()
        inode = lstat(path.path, &status) == 0 ? UInt64(status.st_ino) : 0
    }

    /// Adopts a socket that listens already, such as systemd's.
    ///
    /// - Throws: where it is no listening Unix stream socket.
    public init(adopting descriptor: Int32) throws(ListeningError) {
        guard clinux_is_listening(descriptor) == 1 else {
            throw ListeningError("descriptor \(descriptor) is no listening Unix stream socket")
        }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        self.descriptor = descriptor
        (path, lock, inode) = (nil, -1, 0)
    }

    deinit { shut(nil) }

    /// Ends listening, and removes the socket if it is still ours. The launcher closes what waits.
    func end(_ launcher: DescriptorLauncher? = nil) {
        var status = stat()
        if let path, lstat(path.path, &status) == 0, UInt64(status.st_ino) == inode {
            unlink(path.path)
        }
        shut(launcher)
    }

    private func shut(_ launcher: DescriptorLauncher?) {
        guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
        // Nobody connects after that. What can't be closed now ends with this process.
        // A socket that was passed is not ours to end: the next server accepts from it.
        if path != nil { shutdown(descriptor, Int32(SHUT_RDWR)) }
        let receiver = try? launcher?.start(for: descriptor)
        if launcher == nil || receiver != nil { close(descriptor) }
        if case .process(let process)? = receiver?.end() { close(process) }
        // Last: the next server that gets the lock finds no socket of ours.
        if lock >= 0 { close(lock) }
    }

    // MARK: Creating it

    private static func lock(_ path: SocketPath) throws(ListeningError) -> Int32 {
        let descriptor = try path.openLock()
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw ListeningError(
                "\(path.path): another server listens here; it holds " + path.lockPath)
        }
        return descriptor
    }

    /// Removes the socket of a server that was killed. Called with the lock held.
    private static func removeStale(_ path: SocketPath) throws(ListeningError) {
        var status = stat()
        guard lstat(path.path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ListeningError("\(path.path): is there already, and is not a socket")
        }
        let probe = try makeSocket()
        let refusal = clinux_connect(probe, path.path)
        close(probe)
        guard refusal == -ECONNREFUSED else {
            throw ListeningError("\(path.path): something listens here that does not hold the lock")
        }
        unlink(path.path)
    }

    private static func bind(
        _ path: SocketPath, _ access: PeerAccess
    ) throws(ListeningError) -> Int32 {
        let descriptor = try makeSocket()
        do throws(ListeningError) {
            // Linux gives the file the mode that the socket has: there is no moment in between.
            guard fchmod(descriptor, 0o600) == 0 else { throw failure(path, errno) }
            let status = clinux_bind(descriptor, path.path)
            guard status == 0 else { throw failure(path, -status) }
            if let group = access.group ?? access.readOnlyGroup {
                guard chown(path.path, uid_t.max, group) == 0, chmod(path.path, 0o660) == 0
                else { throw failure(path, errno) }
                try access.addReadOnlyGroup(to: path.path, ownerBits: 6, bits: 6)
            }
            // Only now can anyone connect.
            guard listen(descriptor, backlog) == 0 else { throw failure(path, errno) }
            return descriptor
        } catch {
            close(descriptor)
            throw error
        }
    }

    private static func makeSocket() throws(ListeningError) -> Int32 {
        try converting(
            { (error: Errno) in ListeningError("no socket can be made: \(error)") },
            valueOfCall(clinux_stream_socket()))
    }

    private static func failure(_ path: SocketPath, _ number: Int32) -> ListeningError {
        ListeningError("\(path.path): can't listen there: \(Errno(rawValue: number))")
    }
}

/// Why a server can't listen.
public struct ListeningError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A sentence that says what is wrong, where, and what to do.
    public var message: String

    package init(_ message: String) { self.message = message }

    /// The message.
    public var description: String { message }
}
