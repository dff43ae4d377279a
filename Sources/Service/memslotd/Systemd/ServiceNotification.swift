import CLinux
import Glibc
import Memslots

/// Tells systemd how the service is, as sd_notify(3) does, without its library.
struct ServiceNotification: Sendable {
    private let path: String?

    /// Takes the socket that systemd names in the environment; without one nothing is told.
    init() { path = getenv("NOTIFY_SOCKET").map { String(cString: $0) } }

    /// Whether anybody is told.
    var isHeard: Bool { path != nil }

    /// It takes requests now.
    func ready() { tell("READY=1\nSTATUS=serving\n") }

    /// It ends.
    func stopping() { tell("STOPPING=1\nSTATUS=waiting for running transactions\n") }

    /// It still works.
    func alive() { tell("WATCHDOG=1\n") }

    /// How often systemd wants to hear that it works, in microseconds; `nil` if it doesn't.
    var watchdogMicroseconds: UInt64? {
        guard let text = getenv("WATCHDOG_USEC"), let value = UInt64(String(cString: text)),
            value > 0
        else { return nil }
        guard let process = getenv("WATCHDOG_PID") else { return value }
        return String(cString: process) == String(getpid()) ? value : nil
    }

    private func tell(_ text: String) { try? send(text) }

    /// Sends a message, `descriptors` with it.
    func send(_ text: String, descriptors: [Int32] = []) throws(Errno) {
        guard let path else { return }
        let socket = clinux_datagram_socket()
        guard socket >= 0 else { throw Errno(rawValue: -socket) }
        defer { close(socket) }
        let status = clinux_connect(socket, path)
        guard status == 0 else { throw Errno(rawValue: -status) }
        let bytes = Array(text.utf8)
        let sent = clinux_send(socket, bytes, bytes.count, descriptors, Int32(descriptors.count), 0)
        guard sent >= 0 else { throw Errno(rawValue: Int32(-sent)) }
    }

    private static let patienceMilliseconds: Int32 = 5_000

    /// Waits until systemd has taken what was sent, as sd_notify_barrier(3) does: it closes a pipe.
    func waitUntilHeard() throws(Errno) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Errno(rawValue: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        do throws(Errno) { try send("BARRIER=1", descriptors: [ends[1]]) } catch {
            close(ends[1])
            throw error
        }
        close(ends[1])
        var entry = pollfd(fd: ends[0], events: 0, revents: 0)
        while true {
            let count = poll(&entry, 1, Self.patienceMilliseconds)
            if count > 0 { return }
            if count < 0 && errno == EINTR { continue }
            throw Errno(rawValue: count == 0 ? ETIMEDOUT : errno)
        }
    }
}
