internal import CLinux
internal import Glibc
internal import Memslots

/// The user of a server, and whether a client may trust it with requests and descriptors.
struct TrustedServer {
    let path: SocketPath
    /// A user that the client's user permits in addition.
    let permitted: UInt32?

    /// Returns a connected socket. Throws if nobody listens, or a user that the client can't trust.
    func connect() throws(TargetLost) -> Int32 {
        let socket = try Self.connect(to: path.path)
        do throws(TargetLost) {
            let user = try self.user(of: socket)
            if [0, geteuid(), permitted].contains(user) { return socket }
            guard let ownPath = pathThatOnlyRootCanReplace(for: user) else {
                throw TargetLost(foreignServer: user, at: path)
            }
            // Again, without links: the directory could have been another before the check.
            let second = try Self.connect(to: ownPath)
            guard try self.user(of: second) == user else {
                close(second)
                throw TargetLost(foreignServer: user, at: path)
            }
            close(socket)
            return second
        } catch {
            close(socket)
            throw error
        }
    }

    /// Its path without links; `nil` unless `user` owns the directory, which only root can replace.
    private func pathThatOnlyRootCanReplace(for user: UInt32) -> String? {
        guard let resolved = realpath(path.directory, nil) else { return nil }
        defer { free(resolved) }
        var directory = String(cString: resolved)
        let name = path.path.utf8.split(separator: UInt8(ascii: "/")).last.map { String($0) }
        guard let name = name ?? nil else { return nil }
        let ownPath = directory == "/" ? "/" + name : "\(directory)/\(name)"
        guard ownPath.utf8.count <= clinux_path_limit(), owner(of: directory)?.user == user else {
            return nil
        }
        while directory != "/" {
            directory = SocketPath.directory(of: directory)
            // Others may have a right to write by the mode; an access list shows in it too.
            guard let above = owner(of: directory), above.user == 0, above.mode & 0o022 == 0 else {
                return nil
            }
        }
        return ownPath
    }

    private func owner(of directory: String) -> (user: UInt32, mode: mode_t)? {
        var status = stat()
        guard lstat(directory, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
        return (status.st_uid, status.st_mode)
    }

    private func user(of socket: Int32) throws(TargetLost) -> UInt32 {
        try converting(
            { (_: Errno) in
                TargetLost("\(path.path): the kernel does not report the server's user")
            }, PeerCredentials(of: socket)
        ).user
    }

    private static func connect(to path: String) throws(TargetLost) -> Int32 {
        let socket = clinux_stream_socket()
        guard socket >= 0 else {
            throw TargetLost("can't create a socket: \(ClientConnection.name(-socket))")
        }
        let status = clinux_connect(socket, path)
        guard status == 0 else {
            close(socket)
            throw TargetLost("\(path): \(reason(-status, path))", connecting: -status)
        }
        return socket
    }

    private static func reason(_ number: Int32, _ path: String) -> String {
        switch number {
        case ENOENT: "there is no daemon: the socket does not exist"
        case ECONNREFUSED: "no daemon listens there any more"
        case EACCES: "this user may not connect\(permitted(at: path))"
        default: "can't connect: \(ClientConnection.name(number))"
        }
    }

    /// Whom the mode of the socket permits, as part of a sentence; empty if it can't be read.
    private static func permitted(at path: String) -> String {
        var status = stat()
        guard stat(path, &status) == 0 else { return "" }
        let name = getgrgid(status.st_gid).map { String(cString: $0.pointee.gr_name) }
        let group =
            status.st_mode & 0o020 == 0 ? "alone" : "and group \(name ?? "\(status.st_gid)")"
        return "; the socket is open to user \(status.st_uid) \(group)"
    }
}

extension TargetLost {
    fileprivate init(foreignServer user: UInt32, at path: SocketPath) {
        self.init(
            "\(path.path): user \(user) listens there, and this client's user is \(geteuid()); "
                + "a server must belong to root or to the client's user, or own a directory "
                + "that only root can replace")
        foreignServer = user
    }
}
