import Glibc
import MemslotService

/// The socket that systemd hands over, as sd_listen_fds(3) finds it.
enum SocketActivation {
    private static let firstDescriptor: Int32 = 3

    /// Takes the socket over.
    ///
    /// - Returns: `nil` if none was handed to this process.
    /// - Throws: where it is not one listening Unix stream socket.
    static func listener() throws(ListeningError) -> Listener? {
        guard let process = getenv("LISTEN_PID"), String(cString: process) == String(getpid()),
            let text = getenv("LISTEN_FDS"), let count = Int32(String(cString: text)), count > 0
        else { return nil }
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) }
        guard count == 1 else {
            throw ListeningError("systemd handed over \(count) sockets; one is served")
        }
        return try Listener(takingOver: firstDescriptor)
    }
}
