internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

extension SocketServer {
    func accept(from listener: Listener) {
        var spare = SpareDescriptor()
        while stopFlag.waits(for: listener.descriptor) {
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
        let limit = service.limits.connections
        guard state.withLock({ $0.connections.count }) < limit else {
            let message = "at most \(limit) connections are served at once; close one first"
            return refuse(socket, user: user, .limit("connections", message), lingers: true)
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
                in: surroundings)
            state.connections[state.last] = connection
            return connection
        }
        // stop() may have run before the connection was in the list.
        if stopFlag.isSet { connection.stopReading() }
        observer(.connected(connection.peer.peer, process: process))
        if threads.run({ connection.serve() }) { return }
        state.change { $0.connections[connection.number] = nil }
        refuse(
            channel.input, user: user,
            .limit("threads", "the server has no thread left; try again later"))
        observer(.disconnected(connection.peer.peer))
    }

    private var surroundings: Connection.Surroundings {
        Connection.Surroundings(
            service: service, threads: threads, watch: watch, isStopping: stopFlag,
            ended: { [state, observer] connection in
                state.change { $0.connections[connection.number] = nil }
                observer(.disconnected(connection.peer.peer))
            })
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
        guard lingers, mayLinger() else {
            close(socket)
            return
        }
        let end = { @Sendable [state] in
            close(socket)
            state.withLock { $0.lingering -= 1 }
        }
        let hasThread = threads.run {
            DescriptorIO.drain(socket)
            end()
        }
        if !hasThread { end() }
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
