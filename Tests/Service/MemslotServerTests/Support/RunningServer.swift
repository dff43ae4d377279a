import Foundation
import Glibc
import Memslots

@testable import MemslotService

/// A server on a socket of its own in a directory of its own, on threads of this process.
final class RunningServer: Sendable {
    let service: MemslotService
    let events: EventLog
    let path: SocketPath
    let server: SocketServer
    private let hasEnded = DispatchSemaphore(value: 0)
    let directory: String

    init(
        limits: ServiceLimits = ServiceLimits(), access: PeerAccess = PeerAccess(),
        graceMilliseconds: UInt64 = 10_000, makesDirectory: Bool = false
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        directory = try TemporaryDirectory.make()
        if makesDirectory {
            // The server makes its own directory then, for its groups.
            chmod(directory, 0o755)
            path = try SocketPath(directory + "/groups/s")
        } else {
            path = try SocketPath(directory + "/s")
        }
        let listener = try Listener(at: path, access: access)
        service = MemslotService(limits: limits)
        events = EventLog()
        server = SocketServer(service, access: access, observer: events)
        let (server, hasEnded) = (server, hasEnded)
        Thread.detachNewThread {
            server.run(listener, graceMilliseconds: graceMilliseconds)
            hasEnded.signal()
        }
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Ends it, and waits for the end.
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

    /// The table of a VM of this process's user.
    func table(of vm: String) throws -> MemslotTable {
        let peer = Peer(user: geteuid())
        guard let vm = service.registry.withLock({ $0.vm(vm, of: peer) }) else {
            throw TargetLost("no VM \(vm)")
        }
        return vm.table
    }

    /// Holds a reader of a VM's table open until the answer is called: submits wait for it.
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

enum TemporaryDirectory {
    static func make() throws -> String {
        var template = Array("/tmp/memslots-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TargetLost("no temporary directory") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
