internal import CLinux
internal import Glibc
internal import Memslots

/// The directory of a socket: made private, or found fit.
struct SocketDirectory {
    let path: String
    let access: PeerAccess

    /// Makes the directory, or looks whether it can be trusted if it is there.
    func prepare() throws(ListeningError) {
        if mkdir(path, 0o700) == 0 {
            return try openToGroups()
        }
        guard errno == EEXIST else {
            throw ListeningError("\(path): the directory can't be made: \(Errno(rawValue: errno))")
        }
        try check()
    }

    /// Lets the groups that may connect search a directory that we made.
    private func openToGroups() throws(ListeningError) {
        guard let group = access.group ?? access.readOnlyGroup else { return }
        guard chown(path, uid_t.max, group) == 0, chmod(path, 0o750) == 0 else {
            throw ListeningError(
                "\(path): can't be given to group \(group): \(Errno(rawValue: errno))")
        }
        try access.addReadOnlyGroup(to: path, ownerBits: 7, bits: 5)
    }

    /// Whoever can write to the directory could put another socket in the place of ours.
    private func check() throws(ListeningError) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw ListeningError("\(path): can't be looked at: \(Errno(rawValue: errno))")
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
            throw ListeningError(
                "\(path): others may write to it (mode 0\(octal(status.st_mode & 0o7777))) and "
                    + "could replace the socket; chmod go-w, or use another directory")
        }
    }

    private func octal(_ mode: mode_t) -> String { String(mode, radix: 8) }
}

extension PeerAccess {
    /// Gives the second group the first one's permissions on `path`, where there are two.
    func addReadOnlyGroup(
        to path: String, ownerBits: UInt32, bits: UInt32
    ) throws(ListeningError) {
        guard let group, let readOnlyGroup, group != readOnlyGroup else { return }
        let status = clinux_allow_group(path, readOnlyGroup, ownerBits, bits)
        guard status == 0 else {
            throw ListeningError(
                "\(path): group \(readOnlyGroup) can't be let in by an access list: "
                    + "\(Errno(rawValue: -status)); let systemd make the socket")
        }
    }
}
