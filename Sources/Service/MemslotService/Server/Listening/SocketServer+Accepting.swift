internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

extension SocketServer {
    func accept(from listener: Listener) {
        var spare = Self.spareDescriptor()
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

    /// A descriptor in reserve, to accept and refuse a peer when no other is left.
    private static func spareDescriptor() -> OwnedDescriptor? {
        let descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
        return descriptor < 0 ? nil : OwnedDescriptor(adopting: descriptor)
    }

    /// Refuses a peer by the spare descriptor. It would wait, and `poll(2)` return at once forever.
    private func refuseWithSpare(_ spare: inout OwnedDescriptor?, _ listener: Listener) -> Bool {
        guard spare != nil else { return false }
        spare = nil
        defer { spare = Self.spareDescriptor() }
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
        var user: UInt32?
        do throws(ProtocolError) {
            let peer = try converting(
                { (_: Errno) in
                    ProtocolError(.notPermitted, "the kernel does not report the peer's user")
                }, PeerCredentials(of: socket))
            user = peer.user
            guard let role = access.role(of: peer.user, groups: peer.groups, own: geteuid()) else {
                throw ProtocolError(.notPermitted, "user \(peer.user) may not use this server")
            }
            retryAbandoned()
            try service.budgets.connections.charge(1, to: peer.user)
            begin(
                Connection.Channel(input: socket, output: socket, isSocket: true), user: peer.user,
                role: role, process: peer.process)
        } catch { refuse(socket, user: user, error, lingers: true) }
    }

    func begin(_ channel: Connection.Channel, user: UInt32, role: Peer.Role, process: Int32) {
        let connection = state.change { state in
            state.last += 1
            let connection = Connection(
                channel,
                peer: Peer(user: access.servedUser ?? user, role: role, connection: state.last),
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

    /// Closes silent connections while over half are used. Returns how many ms may pass, or -1.
    private func endSilentConnections() -> Int32 {
        let limits = service.limits
        // Those that could not be closed count too.
        let areScarce = service.budgets.connections.sum > limits.connections / 2
        let silent = state.withLock { state -> [Connection]? in
            guard areScarce else { return nil }
            let latest = ContinuousClock.now - .milliseconds(limits.firstRequestMs)
            return state.connections.values.filter { $0.begun < latest && !$0.hasRequested }
        }
        for connection in silent ?? [] { connection.abandon() }
        return silent == nil ? -1 : Int32(clamping: min(limits.firstRequestMs, 1_000))
    }

    /// Sends the error and closes the socket. With `lingers` the peer has time to read the error:
    /// one that is sending its first request would otherwise find the connection closed.
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
