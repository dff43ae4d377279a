import MemslotProtocol
import Memslots

/// A daemon that is asked for one translation at a time, and an echo server beside it.
final class SmallRequests {
    let connection: DaemonConnection
    let server: EchoServer
    /// What is asked. What is echoed is about as long as what the daemon answers.
    let line: [UInt8]
    private let daemon: RunningDaemon

    init() throws(BenchmarkError) {
        daemon = try RunningDaemon()
        connection = try daemon.connect()
        try connection.ask(RequestLine.create(vm: "small"))
        try connection.ask(RequestLine.submit(BenchmarkArray.slots(64), to: "small"))
        line = RequestLine.make("memslots.translate") { writer in
            writer.key("vm")
            writer.string("small")
            writer.key("addresses")
            writer.beginArray()
            writer.address(0x10_0000)
            writer.endArray()
        }
        try connection.ask(line)
        server = try EchoServer()
    }
}
