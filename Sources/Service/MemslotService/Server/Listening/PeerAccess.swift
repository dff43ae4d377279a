internal import CLinux
internal import Glibc
internal import Memslots

/// Which users and groups may use a server, and with which role.
///
/// The server's own user and root always may use it. The kernel reports a peer's user and groups.
public struct PeerAccess: Hashable, Sendable {
    /// Users that may do everything.
    public var users: Set<UInt32>
    /// A group whose members may do everything.
    public var group: UInt32?
    /// A group whose members may only read.
    public var readOnlyGroup: UInt32?
    /// A Boolean value that indicates whether every peer may only read.
    public var isReadOnly = false
    /// The user whose VMs every peer sees; `nil` if each peer sees those of its own user.
    ///
    /// For a server of one user's VMs, which root may read too.
    public var servedUser: UInt32?

    /// Access for `users`, and the members of two groups.
    ///
    /// - Parameters:
    ///   - users: beside the server's own user and root.
    ///   - group: its members may do everything.
    ///   - readOnlyGroup: its members may read, unless they may do everything.
    public init(users: Set<UInt32> = [], group: UInt32? = nil, readOnlyGroup: UInt32? = nil) {
        (self.users, self.group, self.readOnlyGroup) = (users, group, readOnlyGroup)
    }

    /// What a peer of these groups may do; `nil` if nothing. `own` is the server's own user.
    package func role(of peer: UInt32, groups: Set<UInt32>, own: UInt32) -> Peer.Role? {
        let most: Peer.Role = isReadOnly ? .readOnly : .full
        if peer == own || peer == 0 || users.contains(peer) { return most }
        if let group, groups.contains(group) { return most }
        if let readOnlyGroup, groups.contains(readOnlyGroup) { return .readOnly }
        return nil
    }
}

/// The user, groups and process of a peer at the time when it connected.
struct PeerCredentials {
    let user: UInt32
    let groups: Set<UInt32>
    let process: Int32

    /// Reads `SO_PEERCRED` and `SO_PEERGROUPS` of `socket`.
    init(of socket: Int32) throws(Errno) {
        var (user, group, process) = (UInt32(0), UInt32(0), Int32(0))
        _ = try valueOfCall(clinux_peer(socket, &user, &group, &process))
        (self.user, self.process) = (user, process)
        self.groups = Self.supplementaryGroups(of: socket).union([group])
    }

    /// The groups of a peer, at most 65,536; none where the kernel does not report them.
    private static func supplementaryGroups(of socket: Int32) -> Set<UInt32> {
        for room in [64, 65_536] {
            var result: Int32 = 0
            let groups = [UInt32](unsafeUninitializedCapacity: room) { room, count in
                result = Int32(clinux_peer_groups(socket, room.baseAddress, UInt32(room.count)))
                count = max(0, Int(result))
            }
            if result != -ERANGE { return Set(groups) }
        }
        return []
    }
}
