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

    /// Creates a VM, submits a slot, and destroys the VM.
    private func commits(_ connection: ServiceConnection) -> Bool {
        let vm = "watchdog"
        var create = VMCreateParameters(vm: vm, backend: .simulated)
        create.isEphemeral = true
        var slot = SlotParameters()
        slot.slot = 0
        slot.size = ByteCount(4_096)
        slot.userspaceAddress = UserspaceAddress(4_096)
        do throws(ProtocolError) {
            _ = try service.execute(.createVM(create), on: connection)
            _ = try service.execute(
                .submit(SubmitParameters(vm: vm, slots: [slot])), on: connection)
            _ = try service.execute(.destroyVM(vm: vm), on: connection)
            return true
        } catch {
            return false
        }
    }
}
