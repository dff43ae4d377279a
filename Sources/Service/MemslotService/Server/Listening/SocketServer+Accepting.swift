internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

extension SocketServer {
    func accept(from listener: Listener) {
        var spare = SpareDescriptor()
        while stopFlag.waits(for: listener.descriptor, idle: endSilentConnections) {
            let socket = clinux_accept(listener.descriptor)
            if socket >= 0 {
                serve(socket)
                continue
            }
            let errno = Errno(rawValue: -socket)
            // The peer has gone again.
            if errno.rawValue == ECONNABORTED || errno.rawValue == EAGAIN { continue }
            observer(.cannotAccept(errno: errno))
            let isFull = errno.rawValue == EMFILE || errno.rawValue == ENFILE
            if !(isFull && refuseWithSpare(&spare, listener)) { pause() }
        }
    }

    /// Accepts one peer with the spare descriptor, and refuses it. Without that the peer would
    /// wait, and `poll(2)` would return at once forever.
    private func refuseWithSpare(_ spare: inout SpareDescriptor, _ listener: Listener) -> Bool {
        guard spare.close() else { return false }
        defer { spare.open() }
        let socket = clinux_accept(listener.descriptor)
        guard socket >= 0 else { return false }
        refuse(
            socket, user: nil,
            .limit("descriptors", "the server has no file descriptor left; try again later"))
        return true
    }

    /// Waits for descriptors or memory to be released.
    private func pause() {
        let stopFlag = stopFlag
        state.wait(while: { _ in !stopFlag.isSet }, milliseconds: 10)
    }

    private func serve(_ socket: Int32) {
        let credentials: PeerCredentials
        do throws(Errno) {
            credentials = try PeerCredentials(of: socket)
        } catch {
            let error = ProtocolError(
                .notPermitted, "the kernel does not report the peer's user")
            return refuse(socket, user: nil, error, lingers: true)
        }
        let user = credentials.user
        guard let role = access.role(of: user, groups: credentials.groups, own: geteuid()) else {
            let error = ProtocolError(.notPermitted, "user \(user) may not use this server")
            return refuse(socket, user: user, error, lingers: true)
        }
        let isPrivileged = user == 0 || user == geteuid()
        let refusal = state.withLock { state in
            state.retryAbandoned()
            return state.refusal(of: user, isPrivileged: isPrivileged, service.limits)
        }
        if let refusal { return refuse(socket, user: user, refusal, lingers: true) }
        begin(
            Connection.Channel(input: socket, output: socket, isSocket: true), user: user,
            role: role, process: credentials.process)
    }

    func begin(
        _ channel: Connection.Channel, user: UInt32, role: Peer.Role, process: Int32
    ) {
        let connection = state.change { state in
            state.last += 1
            state.held[user, default: 0] += 1
            let connection = Connection(
                channel,
                peer: Peer(
                    user: access.servedUser ?? user, role: role, connection: state.last),
                in: surroundings(user))
            state.connections[state.last] = connection
            return connection
        }
        // stop() may have run before the connection was in the list.
        if stopFlag.isSet { connection.stopReading() }
        observer(.connected(connection.peer.peer, process: process))
        if threads.run({ connection.serve() }) { return }
        state.change {
            $0.connections[connection.number] = nil
            $0.release(user, [])
        }
        refuse(
            channel.input, user: user,
            .limit("threads", "the server has no thread left; try again later"))
        observer(.disconnected(connection.peer.peer))
    }

    private func surroundings(_ user: UInt32) -> Connection.Surroundings {
        Connection.Surroundings(
            service: service, threads: threads, watch: watch, launcher: launcher,
            isStopping: stopFlag,
            ended: { [state, observer] connection, abandoned in
                state.change {
                    $0.connections[connection.number] = nil
                    $0.release(user, abandoned)
                }
                observer(.disconnected(connection.peer.peer))
            })
    }

    /// Closes connections that have sent no request for long, while more than half of all are used.
    ///
    /// - Returns: the milliseconds until the next call; -1 for none.
    private func endSilentConnections() -> Int32 {
        let limits = service.limits
        let silent = state.withLock { state -> [Connection]? in
            guard state.connections.count > limits.connections / 2 else { return nil }
            let latest = ContinuousClock.now - .milliseconds(limits.firstRequestMs)
            return state.connections.values.filter { $0.begun < latest && !$0.hasRequested }
        }
        for connection in silent ?? [] { connection.abandon() }
        return silent == nil ? -1 : Int32(clamping: min(limits.firstRequestMs, 1_000))
    }

    /// Sends the error, without waiting for the peer, and closes the socket.
    ///
    /// - Parameter lingers: whether the server waits for the peer to read the error: a peer that is
    ///   sending its first request would otherwise find the connection closed.
    private func refuse(
        _ socket: Int32, user: UInt32?, _ error: ProtocolError, lingers: Bool = false
    ) {
        observer(.refused(user: user, reason: error.message))
        var encoder = ReplyEncoder()
        encoder.encode(error, id: .null)
        _ = DescriptorIO.send(encoder.finishLine(), to: socket, isSocket: true, waits: false)
        let closing = PeerSocket(socket, launcher: launcher)
        guard lingers, mayLinger() else { return release(closing.close(waits: false), of: user) }
        let hasThread = threads.run {
            closing.discardInput()
            self.release(closing.close(), of: user)
            self.state.withLock { $0.lingering -= 1 }
        }
        if hasThread { return }
        release(closing.close(waits: false), of: user)
        state.withLock { $0.lingering -= 1 }
    }

    /// Counts what is left of a refused connection against its user.
    private func release(_ abandoned: AbandonedSocket?, of user: UInt32?) {
        guard let abandoned else { return }
        state.withLock { state in
            state.held[user ?? .max, default: 0] += 1
            state.release(user ?? .max, [abandoned])
        }
    }

    /// Waits for few peers at a time, so that refused peers can't use up the threads.
    private func mayLinger() -> Bool {
        state.withLock { state in
            guard state.lingering < 16 else { return false }
            state.lingering += 1
            return true
        }
    }
}

extension SocketServer.State {
    /// Why one more connection of `user` is refused; `nil` if it is not.
    func refusal(
        of user: UInt32, isPrivileged: Bool, _ limits: ServiceLimits
    ) -> ProtocolError? {
        let all = held.values.reduce(0, +)
        let limit = limits.connections - (isPrivileged ? 0 : limits.reservedConnections)
        guard all < limit else {
            return .limit(
                "connections", "at most \(limit) connections are served at once; close one first")
        }
        guard held[user, default: 0] < limits.connectionsPerPeer else {
            return .limit(
                "connectionsPerPeer",
                "a peer has at most \(limits.connectionsPerPeer) connections; close one first")
        }
        return nil
    }

    /// Releases a connection of `user`, unless something is left of it.
    mutating func release(_ user: UInt32, _ abandoned: [AbandonedSocket]) {
        if !abandoned.isEmpty {
            self.abandoned.append((user, abandoned))
        } else if let count = held[user] {
            held[user] = count > 1 ? count - 1 : nil
        }
    }

    /// Releases those that are gone by now.
    mutating func retryAbandoned() {
        let before = abandoned
        abandoned = []
        for (user, left) in before { release(user, left.compactMap { $0.retried() }) }
    }
}

/// A descriptor in reserve, to accept and refuse a peer when no other is left.
struct SpareDescriptor: ~Copyable {
    private var descriptor: Int32 = -1

    init() { open() }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    mutating func open() {
        if descriptor < 0 { descriptor = Glibc.open("/dev/null", O_RDONLY | O_CLOEXEC) }
    }

    /// Closes it.
    ///
    /// - Returns: whether there was one.
    mutating func close() -> Bool {
        guard descriptor >= 0 else { return false }
        Glibc.close(descriptor)
        descriptor = -1
        return true
    }
}
