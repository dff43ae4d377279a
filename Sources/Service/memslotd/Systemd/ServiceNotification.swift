import CLinux
import Glibc
import MemslotProtocol
import MemslotService
import Memslots

func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// Notifies systemd of the service's state, as sd_notify(3) does, without its library.
struct ServiceNotification: Sendable {
    private let path: String?

    /// Uses the socket that systemd names in the environment. Without one, nothing is sent.
    init() { path = environment("NOTIFY_SOCKET") }

    /// A Boolean value that indicates whether notifications are sent.
    var isEnabled: Bool { path != nil }

    /// Reports that the service accepts requests.
    func ready() { trySend("READY=1\nSTATUS=serving\n") }

    func stopping() { trySend("STOPPING=1\nSTATUS=waiting for running transactions\n") }

    /// Resets systemd's watchdog.
    func alive() { trySend("WATCHDOG=1\n") }

    /// After how many microseconds systemd restarts the service; `nil` if there is no watchdog.
    var watchdogMicroseconds: UInt64? {
        let value = environment("WATCHDOG_USEC").flatMap { UInt64($0) }
        let isForUs = (environment("WATCHDOG_PID") ?? "\(getpid())") == "\(getpid())"
        return value == 0 || !isForUs ? nil : value
    }

    // systemd may have gone; the service goes on without it.
    private func trySend(_ text: String) { try? send(text) }

    func send(_ text: String, descriptors: [Int32] = []) throws(Errno) {
        guard let path else { return }
        let socket = try valueOfCall(clinux_datagram_socket())
        defer { close(socket) }
        _ = try valueOfCall(clinux_connect(socket, path))
        let bytes = Array(text.utf8)
        _ = try valueOfCall(
            clinux_send(socket, bytes, bytes.count, descriptors, Int32(descriptors.count), 0))
    }

    /// Waits up to 5 seconds until systemd has received everything that was sent, as
    /// sd_notify_barrier(3) does: systemd closes a pipe.
    func waitUntilReceived() throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .last }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        do {
            defer { close(ends[1]) }
            try send("BARRIER=1", descriptors: [ends[1]])
        }
        guard try valueOfCall(clinux_is_ready(ends[0], 5_000)) == 1 else { throw .timedOut }
    }
}

/// Resets systemd's watchdog with each commit of a small simulated VM, through the service itself:
/// what blocks this commit blocks those of peers too.
struct Watchdog: Sendable {
    let service: MemslotService
    let notification: ServiceNotification
    let microseconds: UInt64

    /// The user of the watchdog's VM. No account has this number: chown(2) uses it for "no change".
    static let user = UInt32.max

    /// Starts a thread, which ends with the process. Throws `EAGAIN`; systemd restarts the service.
    func start() throws(Errno) { try OwnThread { run() }.detach() }

    private func run() {
        let connection = ServiceConnection(peer: Peer(user: Self.user))
        // Half of the watchdog's time, as sd_watchdog_enabled(3) recommends.
        let pause = microseconds / 2
        while true {
            if commits(connection) { notification.alive() }
            // A signal may end this early, which does no harm.
            usleep(useconds_t(clamping: pause))
        }
    }

    /// Creates a VM, submits a slot, destroys the VM, and returns whether all of it succeeded.
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
        } catch { return false }
    }
}
