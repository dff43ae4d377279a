internal import CLinux
internal import Memslots

/// Who is at the other end of a socket, as the kernel saw it when it connected.
struct PeerCredentials {
    let user: UInt32
    let groups: Set<UInt32>
    let process: Int32

    /// Asks the kernel, by `SO_PEERCRED` and `SO_PEERGROUPS`.
    ///
    /// - Throws: the errno; the peer is nobody then.
    init(of socket: Int32) throws(Errno) {
        var user: UInt32 = 0
        var group: UInt32 = 0
        var process: Int32 = 0
        let status = clinux_peer(socket, &user, &group, &process)
        guard status == 0 else { throw Errno(rawValue: -status) }
        self.user = user
        self.process = process
        self.groups = Self.supplementaryGroups(of: socket).union([group])
    }

    /// A user has at most 65,536 groups; none are told where they can't be had.
    private static func supplementaryGroups(of socket: Int32) -> Set<UInt32> {
        for room in [64, 65_536] {
            var groups = [UInt32](repeating: 0, count: room)
            let count = clinux_peer_groups(socket, &groups, UInt32(room))
            if count >= 0 { return Set(groups.prefix(Int(count))) }
            // Only where the room was too small is there more to be had.
            if -count != Errno.outOfRange.rawValue { return [] }
        }
        return []
    }
}

extension Errno {
    /// More than there is room for. The corresponding C error is `ERANGE`.
    fileprivate static let outOfRange = Errno(rawValue: 34)
}
