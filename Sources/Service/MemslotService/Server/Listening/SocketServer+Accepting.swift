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
        retryAbandoned()
        do throws(ProtocolError) { try service.budgets.connections.charge(1, to: user) } catch {
            return refuse(socket, user: user, error, lingers: true)
        }
        begin(
            Connection.Channel(input: socket, output: socket, isSocket: true), user: user,
            role: role, process: credentials.process)
    }

    func begin(
        _ channel: Connection.Channel, user: UInt32, role: Peer.Role, process: Int32
    ) {
        let connection = state.change { state in
            state.last += 1
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
        if threads.run(of: user, { connection.serve() }) { return }
        state.change { $0.connections[connection.number] = nil }
        service.budgets.connections.release(1, of: user)
        refuse(
            channel.input, user: user,
            .limit("threads", "the server has no thread left; try again later"))
        observer(.disconnected(connection.peer.peer))
    }

    private func surroundings(_ user: UInt32) -> Connection.Surroundings {
        Connection.Surroundings(
            service: service, threads: threads, watch: watch, launcher: launcher,
            isStopping: stopFlag,
            ended: { [state, observer, budget = service.budgets.connections] connection, left in
                if left.isEmpty { budget.release(1, of: user) }
                state.change {
                    $0.connections[connection.number] = nil
                    if !left.isEmpty { $0.abandoned.append((user, left)) }
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
        let hasThread = threads.run(of: user ?? .max) {
            closing.discardInput()
            self.release(closing.close(), of: user)
            self.state.withLock { $0.lingering -= 1 }
        }
        if hasThread { return }
        release(closing.close(waits: false), of: user)
        state.withLock { $0.lingering -= 1 }
    }

    /// Counts what is left of a refused connection against its user.
    private func release(_ left: AbandonedSocket?, of user: UInt32?) {
        guard let left else { return }
        service.budgets.connections.charge(existing: 1, to: user ?? .max)
        state.withLock { $0.abandoned.append((user ?? .max, [left])) }
    }

    /// Releases the connections of which nothing is left by now.
    private func retryAbandoned() {
        let budget = service.budgets.connections
        state.withLock { state in
            state.abandoned = state.abandoned.compactMap { user, sockets in
                let left = sockets.compactMap { $0.retried() }
                if left.isEmpty { budget.release(1, of: user) }
                return left.isEmpty ? nil : (user, left)
            }
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
