import CLinux
import Glibc

/// Tells systemd how the service is, as sd_notify(3) does, without its library.
struct ServiceNotification: Sendable {
    private let path: String?

    /// Takes the socket that systemd names in the environment; without one nothing is told.
    init() { path = getenv("NOTIFY_SOCKET").map { String(cString: $0) } }

    /// It takes requests now.
    func ready() { send("READY=1\nSTATUS=serving\n") }

    /// It ends.
    func stopping() { send("STOPPING=1\nSTATUS=waiting for running transactions\n") }

    /// It still works.
    func alive() { send("WATCHDOG=1\n") }

    /// How often systemd wants to hear that it works, in microseconds; `nil` if it doesn't.
    var watchdogMicroseconds: UInt64? {
        guard let text = getenv("WATCHDOG_USEC"), let value = UInt64(String(cString: text)),
            value > 0
        else { return nil }
        guard let process = getenv("WATCHDOG_PID") else { return value }
        return String(cString: process) == String(getpid()) ? value : nil
    }

    private func send(_ text: String) {
        guard let path else { return }
        let socket = clinux_datagram_socket()
        guard socket >= 0 else { return }
        defer { close(socket) }
        guard clinux_connect(socket, path) == 0 else { return }
        let bytes = Array(text.utf8)
        _ = clinux_send(socket, bytes, bytes.count, nil, 0, 0)
    }
}
