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
                admit(socket)
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
        refuse(socket, user: nil, .tooManyDescriptors)
        return true
    }

    /// Waits for descriptors or memory to be released.
    private func pause() {
        let stopFlag = stopFlag
        state.wait(while: { _ in !stopFlag.isSet }, milliseconds: 10)
    }

    private func admit(_ socket: Int32) {
        let credentials: PeerCredentials
        do throws(Errno) {
            credentials = try PeerCredentials(of: socket)
        } catch {
            return refuse(socket, user: nil, .unknownPeer)
        }
        let user = credentials.user
        guard let role = access.role(of: user, groups: credentials.groups, own: geteuid()) else {
            return refuse(socket, user: user, .notPermitted(user))
        }
        guard state.withLock({ $0.connections.count }) < service.limits.connections else {
            return refuse(socket, user: user, .tooManyConnections(service.limits.connections))
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
        refuse(channel.input, user: user, .noThread)
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

    private func refuse(_ socket: Int32, user: UInt32?, _ refusal: Refusal) {
        observer(.refused(user: user, reason: refusal.error.message))
        refusal.send(to: socket)
        guard refusal.lingers, mayLinger() else {
            close(socket)
            return
        }
        let state = state
        let hasThread = threads.run {
            DescriptorIO.drain(socket)
            close(socket)
            state.withLock { $0.lingering -= 1 }
        }
        if !hasThread {
            close(socket)
            state.withLock { $0.lingering -= 1 }
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

    /// Opens one.
    init() { open() }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    /// Opens one again.
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
