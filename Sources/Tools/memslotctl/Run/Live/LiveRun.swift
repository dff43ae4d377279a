import Glibc
import MemslotService
import MemslotTrace
import Memslots

/// A run that is told on a socket while it lasts: its VMs, and each transaction as it ends.
///
/// A thread of this process reads what the VMM writes down anyway. For it the VMM writes a little
/// more: when a thread that made slot calls enters `KVM_RUN`, and when a VM is closed.
final class LiveRun: Sendable {
    private let service: MemslotService
    private let server: SocketServer
    private let mirror: RunMirror
    private let serving: OwnThread
    private let following: OwnThread

    /// Listens at `path`, to tell of what comes into `memory`.
    ///
    /// - Throws: where it can't listen there, for instance because a daemon does.
    init(
        _ memory: RunMemory, isAtomic: Bool, _ settings: TraceImporter.Options, at path: String
    ) throws(RunFailure) {
        // The VMM alone changes its slots.
        var access = PeerAccess()
        access.isReadOnly = true
        access.servedUser = getuid()
        let service = MemslotService()
        let server = SocketServer(service, access: access)
        let mirror = RunMirror(memory, service, isAtomic: isAtomic, settings)
        let listener: Listener
        do throws(ListeningError) {
            listener = try Listener(at: SocketPath(path), access: access)
        } catch {
            throw RunFailure(error.message)
        }
        do throws(Errno) {
            serving = try OwnThread { server.run(listener, graceMilliseconds: 2_000) }
            following = try OwnThread { mirror.follow() }
        } catch {
            throw RunFailure("no thread for the socket: \(error)")
        }
        (self.service, self.server, self.mirror) = (service, server, mirror)
    }

    /// Ends it: tells what is left and the end, lets the subscribers read it, closes the socket.
    ///
    /// - Parameter outcome: the run; `nil` where the VMM could not be started.
    func end(_ outcome: RunOutcome?, status: Int32) {
        mirror.end()
        following.join()
        if let outcome {
            let line = RunNotification.ended(
                outcome.seen?.report, outcome.recording, status: status)
            service.announce(line, of: nil)
        }
        server.stop()
        serving.join()
    }
}
