/// Who asks: a user on one connection.
public struct Peer: Hashable, Sendable {
    /// What a peer may do.
    public enum Role: String, Hashable, Sendable {
        /// Everything.
        case full
        /// Looking only.
        case readOnly = "read-only"
    }

    /// The user. Names of VMs are a user's own: another's do not exist for it.
    public var user: UInt32
    /// What it may do.
    public var role: Role
    /// The connection, for VMs that end with it.
    public var connection: UInt64

    /// A peer; by default this process itself, with every right.
    public init(user: UInt32 = 0, role: Role = .full, connection: UInt64 = 0) {
        self.user = user
        self.role = role
        self.connection = connection
    }
}
