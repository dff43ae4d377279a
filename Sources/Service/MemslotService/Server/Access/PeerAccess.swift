/// Which users and groups may use a server, and how.
///
/// The daemon's own user and root always may. A plain value; the kernel says who a peer is.
public struct PeerAccess: Hashable, Sendable {
    /// Users that may do everything.
    public var users: Set<UInt32>
    /// A group whose members may do everything.
    public var group: UInt32?
    /// A group whose members may only look.
    public var readOnlyGroup: UInt32?
    /// Whether everybody who may connect may only look.
    public var isReadOnly = false
    /// Whose VMs everybody who may connect is served; `nil` for each user's own.
    ///
    /// For a server of one user's VMs, which root may look at too.
    public var servedUser: UInt32?

    /// Access for `users`, and the members of two groups.
    ///
    /// - Parameters:
    ///   - users: beside the server's own user and root.
    ///   - group: its members may do everything.
    ///   - readOnlyGroup: its members may only look, where they may not do everything.
    public init(
        users: Set<UInt32> = [], group: UInt32? = nil, readOnlyGroup: UInt32? = nil
    ) {
        self.users = users
        self.group = group
        self.readOnlyGroup = readOnlyGroup
    }

    /// What a peer may do; `nil` if nothing.
    ///
    /// - Parameters:
    ///   - own: the server's own user.
    ///   - peer: the peer's user.
    ///   - groups: all groups of the peer.
    public func role(of peer: UInt32, groups: Set<UInt32>, own: UInt32) -> Peer.Role? {
        let most: Peer.Role = isReadOnly ? .readOnly : .full
        if peer == own || peer == 0 || users.contains(peer) { return most }
        if let group, groups.contains(group) { return most }
        if let readOnlyGroup, groups.contains(readOnlyGroup) { return .readOnly }
        return nil
    }
}
