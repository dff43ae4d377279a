internal import CLinux
internal import Glibc
public import Memslots

/// Serves a service's methods to the peers of a Unix socket.
///
/// One thread accepts connections, and each connection has a thread that reads and executes
/// requests. Call ``run(_:gracePeriod:)`` on a thread of your own, and ``stop()`` from any other.
public final class SocketServer: Sendable {
    struct State {
        var connections: [UInt64: Connection] = [:]
        var last: UInt64 = 0
        /// What could not be closed, by the user.
        var abandoned: [(user: UInt32, sockets: [AbandonedSocket])] = []
        /// How many refused peers the server waits for.
        var lingering = 0
    }

    let service: MemslotService
    let access: PeerAccess
    let launcher: DescriptorLauncher?
    let observer: @Sendable (ServerEvent) -> Void
    let threads: ConnectionThreads
    let watch = StallWatch()
    let stopFlag = StopFlag()
    let state = Locked(State())

    /// How long the end may take by default. With what follows, a process ends within
    /// 10 seconds, unless a slot call of the kernel takes longer.
    public static let defaultGracePeriod: Duration = .seconds(8)

    /// A server that does not listen yet.
    ///
    /// - Parameters:
    ///   - service: the service. The server has its limits.
    ///   - access: who may connect.
    ///   - launcher: starts the processes that receive descriptors. Without one this process receives
    ///     them, and a peer can block it with a descriptor whose `close()` never returns.
    ///   - observer: receives the server's events, for a log. It is called on the threads where they
    ///     happen, in order for each connection. It must be short, and must not call the service.
    public init(
        _ service: MemslotService, access: PeerAccess = PeerAccess(),
        launcher: DescriptorLauncher? = nil,
        observer: @escaping @Sendable (ServerEvent) -> Void = { _ in }
    ) {
        (self.service, self.access) = (service, access)
        (self.launcher, self.observer) = (launcher, observer)
        threads = ConnectionThreads(limit: service.limits.threads, budget: service.budgets.threads)
    }

    /// Creates a socket at `path` that only the users and groups of the server's access can connect
    /// to, for ``run(_:gracePeriod:)``.
    ///
    /// - Throws: if the socket can't be created there, or a server listens there already.
    public func listen(at path: SocketPath) throws(ListeningError) -> Listener {
        try Listener(at: path, access: access)
    }

    /// Stops the server: new requests get `shutting-down`, those that run are completed, and
    /// ``run(_:gracePeriod:)`` returns. Call from any thread.
    public func stop() {
        guard stopFlag.set() else { return }
        observer(.stopping)
        for connection in state.withLock({ Array($0.connections.values) }) {
            connection.stopReading()
        }
    }

    /// Accepts connections until ``stop()``, then waits for them to end, and removes the socket.
    ///
    /// - Parameters:
    ///   - listener: where peers connect.
    ///   - gracePeriod: how long the connections may take to end after ``stop()``. After
    ///     that they are cut.
    /// - Returns: whether all connections ended in time.
    @discardableResult
    public func run(
        _ listener: Listener, gracePeriod: Duration = SocketServer.defaultGracePeriod
    ) -> Bool {
        _ = watch.start(on: threads)
        observer(.listening(path: listener.path?.path))
        accept(from: listener)
        listener.end(launcher)
        return end(gracePeriod)
    }

    /// Serves one peer over two descriptors, such as standard input and output, until its input
    /// ends or ``stop()``. Closes both.
    ///
    /// - Parameters:
    ///   - input: read for requests.
    ///   - output: receives the replies.
    ///   - gracePeriod: how long the end may take after ``stop()``.
    /// - Returns: whether it ended in time.
    @discardableResult
    public func run(
        input: Int32, output: Int32, gracePeriod: Duration = SocketServer.defaultGracePeriod
    ) -> Bool {
        _ = watch.start(on: threads)
        let isSocket = clinux_is_socket(input) == 1 && clinux_is_socket(output) == 1
        service.budgets.connections.charge(existing: 1, to: geteuid())
        begin(
            Connection.Channel(input: input, output: output, isSocket: isSocket),
            user: geteuid(), role: .full, process: getpid())
        let stopFlag = stopFlag
        state.withLock(waitingWhile: { !$0.connections.isEmpty && !stopFlag.isSet }) { _ in }
        return end(gracePeriod)
    }

    private func end(_ gracePeriod: Duration) -> Bool {
        stop()
        let isClean = state.wait(
            while: { !$0.connections.isEmpty },
            milliseconds: gracePeriod.wholeNanoseconds / 1_000_000)
        if !isClean {
            for connection in state.withLock({ Array($0.connections.values) }) {
                connection.abandon()
            }
            state.wait(while: { !$0.connections.isEmpty }, milliseconds: 1_000)
        }
        watch.stop()
        let hasEnded = threads.close(milliseconds: 500)
        observer(.stopped(isClean: isClean && hasEnded))
        return isClean
    }
}

/// What happens to a server and its connections.
public enum ServerEvent: Hashable, Sendable {
    /// It accepts connections; `path` is `nil` for a socket that was passed.
    case listening(path: String?)
    /// A peer connected.
    case connected(Peer, process: Int32)
    /// A connection of this user was refused for this reason.
    case refused(user: UInt32?, reason: String)
    /// A connection has ended.
    case disconnected(Peer)
    /// A connection can't be accepted. The server tries again soon.
    case cannotAccept(errno: Errno)
    /// It accepts no more requests.
    case stopping
    /// It has ended; `isClean` is false where a connection did not end in time.
    case stopped(isClean: Bool)
}
