import Glibc
import MemslotProtocol
import MemslotService
import Memslots

/// Tells systemd that the service works, each time that it has seen a commit work.
///
/// The commit is that of a small simulated VM of nobody's, through the service itself: what
/// stands still there stands still for peers too.
struct Watchdog: Sendable {
    let service: MemslotService
    let notification: ServiceNotification
    let microseconds: UInt64

    /// No user has this number: it stands for "no change" in chown(2).
    static let nobody = UInt32.max

    /// Begins on a thread of its own, which ends with the process.
    ///
    /// - Throws: `EAGAIN`; systemd then takes the service for one that stands still.
    func start() throws(Errno) { try OwnThread { run() }.detach() }

    private func run() {
        let connection = ServiceConnection(peer: Peer(user: Self.nobody))
        // Half of what systemd waits, as it asks for.
        let pause = microseconds / 2
        while true {
            if commits(connection) { notification.alive() }
            // Woken early by a signal, it only tells once more.
            var span = timespec(
                tv_sec: Int(pause / 1_000_000), tv_nsec: Int(pause % 1_000_000) * 1_000)
            nanosleep(&span, nil)
        }
    }

    /// Makes a VM, gives it a slot, and ends it.
    private func commits(_ connection: ServiceConnection) -> Bool {
        let lines = [
            #"{"id":1,"method":"vm.create","params":{"vm":"watchdog","ephemeral":true,"#
                + #""backend":"simulated"}}"#,
            #"{"id":2,"method":"memslots.submit","params":{"vm":"watchdog","slots":[{"slot":0,"#
                + #""guestPhysicalAddress":0,"size":4096,"userspaceAddress":4096}]}}"#,
            #"{"id":3,"method":"vm.destroy","params":{"vm":"watchdog"}}"#,
        ]
        return lines.allSatisfy { line in
            var writer = JSONWriter()
            service.answer(
                IncomingMessage(parsing: Array(line.utf8)), on: connection, into: &writer)
            do throws(JSONError) {
                return try JSONDocument(parsing: writer.bytes).root["result"] != nil
            } catch {
                return false
            }
        }
    }
}
