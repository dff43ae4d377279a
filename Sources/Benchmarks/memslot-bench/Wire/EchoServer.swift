import CYardsticks
import Glibc

/// The yardstick's server, as a process of its own.
final class EchoServer {
    let socket: Int32
    private let process: Int32

    init() throws(BenchmarkError) {
        var socket: Int32 = -1
        process = ys_echo_start(&socket)
        guard process > 0 else { throw .broken("no echo server: errno \(-process)") }
        self.socket = socket
    }

    deinit {
        close(socket)
        _ = ys_wait(process)
    }
}
