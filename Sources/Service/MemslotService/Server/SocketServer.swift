internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// Serves a service's methods to the peers of a Unix socket.
///
/// One thread accepts, each connection has a thread that reads and carries out. Create one, call
/// ``run()`` on a thread of your own, and ``stop()`` from any other.
public final class SocketServer: Sendable {
    private struct State {
        var connections: [UInt64: Connection] = [:]
        var last: UInt64 = 0
        /// Refused peers that are waited for to read why.
        var lingering = 0
    }

    private let service: MemslotService
    private let access: PeerAccess
    private let observer: (any ServiceObserver)?
    private let threads: ConnectionThreads
    private let watch = StallWatch()
    private let stopFlag = StopFlag()
    private let state = Locked(State())

    /// How long the end may take by default, in milliseconds.
    public static let defaultGraceMilliseconds: UInt64 = 10_000

    /// A server that does not listen yet.
    ///
    /// - Parameters:
    ///   - service: what is served. Its limits are the server's too.
    ///   - access: who may connect.
    ///   - observer: told what happens.
    public init(
        _ service: MemslotService, access: PeerAccess = PeerAccess(),
        observer: (any ServiceObserver)? = nil
    ) {
        self.service = service
        self.access = access
        self.observer = observer
        threads = ConnectionThreads(limit: service.limits.threads)
    }

    /// Takes no more requests: those that come are answered with `shutting-down`, those that are
    /// carried out come to their end. Call from any thread; ``run(_:graceMilliseconds:)`` returns
    /// then.
    public func stop() {
        guard stopFlag.set() else { return }
        observer?.note(.stopping)
        for connection in state.withLock({ Array($0.connections.values) }) {
            connection.stopReading()
        }
    }

    /// Accepts connections until ``stop()``, then waits for them to end, and removes the socket.
    ///
    /// - Parameters:
    ///   - listener: where peers connect.
    ///   - graceMilliseconds: how long the connections may take to end after ``stop()``. Those that
    ///     don't are cut.
    /// - Returns: whether all came to their end in time.
    @discardableResult
    public func run(
        _ listener: Listener, graceMilliseconds: UInt64 = SocketServer.defaultGraceMilliseconds
    ) -> Bool {
        _ = watch.start(on: threads)
        observer?.note(.listening(path: listener.path?.path))
        accept(from: listener)
        listener.end()
        return end(graceMilliseconds)
    }

    /// Serves one peer over two descriptors, such as standard input and output, until its input
    /// ends or ``stop()``. Closes both.
    ///
    /// - Parameters:
    ///   - input: read for requests.
    ///   - output: written with answers.
    ///   - graceMilliseconds: how long the end may take after ``stop()``.
    /// - Returns: whether it came to its end in time.
    @discardableResult
    public func run(
        input: Int32, output: Int32,
        graceMilliseconds: UInt64 = SocketServer.defaultGraceMilliseconds
    ) -> Bool {
        _ = watch.start(on: threads)
        let isSocket = clinux_is_socket(input) == 1 && clinux_is_socket(output) == 1
        begin(
            Connection.Channel(input: input, output: output, isSocket: isSocket),
            user: geteuid(), role: .full, process: getpid())
        let stopFlag = stopFlag
        state.withLock(waitingWhile: { !$0.connections.isEmpty && !stopFlag.isSet }) { _ in }
        return end(graceMilliseconds)
    }

    private func end(_ graceMilliseconds: UInt64) -> Bool {
        stop()
        let isClean = state.wait(
            while: { !$0.connections.isEmpty }, milliseconds: graceMilliseconds)
        if !isClean {
            for connection in state.withLock({ Array($0.connections.values) }) {
                connection.abandon()
            }
            state.wait(while: { !$0.connections.isEmpty }, milliseconds: 1_000)
        }
        watch.stop()
        let hasEnded = threads.close(milliseconds: 1_000)
        observer?.note(.stopped(isClean: isClean && hasEnded))
        return isClean
    }
}

// MARK: Accepting
extension SocketServer {
    private func accept(from listener: Listener) {
        var spare = SpareDescriptor()
        while stopFlag.waits(for: listener.descriptor) {
            let socket = clinux_accept(listener.descriptor)
            if socket >= 0 {
                admit(socket)
                continue
            }
            let errno = Errno(rawValue: -socket)
            // A peer that has gone again is nobody's trouble.
            if errno.rawValue == ECONNABORTED || errno.rawValue == EAGAIN { continue }
            observer?.note(.cannotAccept(errno: errno))
            let isFull = errno.rawValue == EMFILE || errno.rawValue == ENFILE
            if !(isFull && refuseWithSpare(&spare, listener)) { pause() }
        }
    }

    /// Without a descriptor to accept with, the peer would wait and `poll(2)` never would.
    private func refuseWithSpare(_ spare: inout SpareDescriptor, _ listener: Listener) -> Bool {
        guard spare.letGo() else { return false }
        defer { spare.take() }
        let socket = clinux_accept(listener.descriptor)
        guard socket >= 0 else { return false }
        refuse(socket, user: nil, .tooManyDescriptors)
        return true
    }

    /// Waits a moment, for descriptors or memory to come back.
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

    private func begin(
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
        // Had it not been there, stop() would have told it.
        if stopFlag.isSet { connection.stopReading() }
        observer?.note(.connected(connection.peer.peer, process: process))
        if threads.run({ connection.read() }) { return }
        state.change { $0.connections[connection.number] = nil }
        refuse(channel.input, user: user, .noThread)
        observer?.note(.disconnected(connection.peer.peer))
    }

    private var surroundings: Connection.Surroundings {
        Connection.Surroundings(
            service: service, threads: threads, watch: watch, isStopping: stopFlag,
            ended: { [state, observer] connection in
                state.change { $0.connections[connection.number] = nil }
                observer?.note(.disconnected(connection.peer.peer))
            })
    }

    private func refuse(_ socket: Int32, user: UInt32?, _ refusal: Refusal) {
        observer?.note(.refused(user: user, reason: refusal.error.message))
        refusal.send(to: socket)
        guard refusal.lingers, mayLinger() else {
            close(socket)
            return
        }
        let state = state
        let hasThread = threads.run {
            Lingering.drain(socket)
            close(socket)
            state.withLock { $0.lingering -= 1 }
        }
        if !hasThread {
            close(socket)
            state.withLock { $0.lingering -= 1 }
        }
    }

    /// Few at a time, so that those who are refused can't use up what others need.
    private func mayLinger() -> Bool {
        state.withLock { state in
            guard state.lingering < 16 else { return false }
            state.lingering += 1
            return true
        }
    }
}
