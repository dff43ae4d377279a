import Foundation
import Glibc
import MemslotProtocol
import Memslots
import TestSupport
import WireTestSupport

@testable import MemslotService

/// A server in this process, on a socket in a directory of its own.
final class RunningServer: Sendable {
    let service: MemslotService
    let events: EventLog
    let path: SocketPath
    let server: SocketServer
    private let hasEnded = DispatchSemaphore(value: 0)
    let directory: ScratchDirectory
    /// Serves all servers of this process, as the daemon's serves the daemon.
    static let launcher = try? DescriptorLauncher()

    init(
        limits: ServiceLimits = ServiceLimits(), access: PeerAccess = PeerAccess(),
        gracePeriod: Duration = .seconds(10), makesDirectory: Bool = false
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        directory = try ScratchDirectory()
        if makesDirectory {
            // The server creates the socket's directory, for its groups.
            chmod(directory.path, 0o755)
            path = try SocketPath(directory.path("groups/s"))
        } else {
            path = try SocketPath(directory.path("s"))
        }
        let listener = try Listener(at: path, access: access)
        service = MemslotService(limits: limits)
        events = EventLog()
        server = SocketServer(
            service, access: access, launcher: Self.launcher,
            observer: { [events] in events.record($0) })
        let (server, hasEnded) = (server, hasEnded)
        Thread.detachNewThread {
            server.run(listener, gracePeriod: gracePeriod)
            hasEnded.signal()
        }
    }

    deinit { stop() }

    /// Stops the server, and waits for its end.
    func stop() {
        server.stop()
        waitForEnd()
    }

    /// Waits until the server has ended by itself.
    func waitForEnd() {
        hasEnded.wait()
        hasEnded.signal()
    }

    func connect() throws -> ClientConnection { try ClientConnection(path) }

    /// Calls `body` with each of `count` clients that are connected at the same time.
    func withClients(
        _ count: Int, _ body: (inout ClientConnection) throws -> Void
    ) throws {
        guard count > 0 else { return }
        var client = try connect()
        try withClients(count - 1, body)
        try body(&client)
    }

    /// The table of a VM of this process's user.
    func table(of vm: String) throws -> MemslotTable {
        let peer = Peer(user: geteuid())
        guard let vm = service.registry.withLock({ $0.vm(vm, of: peer) }) else {
            throw TargetLost("no VM \(vm)")
        }
        return vm.table
    }

    /// Keeps a reader in a VM's table: submits wait for it.
    ///
    /// - Returns: a function that ends the reader, and waits for its end.
    func holdReader(of vm: String) throws -> () -> Void {
        let table = try table(of: vm)
        let (isInside, mayLeave, hasLeft) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        Thread.detachNewThread {
            table.read(as: "test") { _ in
                isInside.signal()
                mayLeave.wait()
            }
            hasLeft.signal()
        }
        isInside.wait()
        return {
            mayLeave.signal()
            hasLeft.wait()
        }
    }
}
