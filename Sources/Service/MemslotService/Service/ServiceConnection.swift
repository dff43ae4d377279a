/// One connection of a peer to the service: who it is, what came with its line, where its events go.
///
/// The transport makes one for each socket, calls ``MemslotService/answer(_:on:descriptors:into:)``
/// with it, sends what ``events`` holds, and ends it with ``MemslotService/end(_:)``.
public final class ServiceConnection: Sendable {
    /// Who is on the other side.
    public let peer: Peer
    /// The notifications for the other side; `nil` where none can be sent.
    public let events: EventQueue?

    /// A connection.
    public init(peer: Peer, events: EventQueue? = nil) {
        self.peer = peer
        self.events = events
    }
}
