public import Memslots

/// Is told what happens in a service and its server, for a log.
///
/// Called on the threads that do it, in the order in which it happens to one table or connection;
/// must be short, and must not call the service.
public protocol ServiceObserver: Sendable {
    /// The array of a VM changed, or failed to.
    func note(_ event: TableEvent, vm: String, user: UInt32)
    /// Something happened to the server or a connection.
    func note(_ event: ServerEvent)
}

/// What happens to a server and its connections.
public enum ServerEvent: Hashable, Sendable {
    /// It takes connections; `path` is `nil` for a socket that was handed over.
    case listening(path: String?)
    /// A peer connected.
    case connected(Peer, process: Int32)
    /// A connection was refused: whose, and why.
    case refused(user: UInt32?, reason: String)
    /// A connection has ended.
    case disconnected(Peer)
    /// A connection can't be accepted; tried again after a moment.
    case cannotAccept(errno: Errno)
    /// It takes no more requests.
    case stopping
    /// It has ended; `isClean` says whether every connection came to its end in time.
    case stopped(isClean: Bool)
}
