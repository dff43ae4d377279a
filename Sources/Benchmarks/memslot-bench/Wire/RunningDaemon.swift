import CYardsticks
import Glibc
import MemslotProtocol
import Memslots

/// `memslotd` as a process of its own, with a socket in a folder of its own.
final class RunningDaemon {
    let process: Int32
    let path: String
    /// From its start until a connection was taken, in nanoseconds.
    let startTime: Double
    private let directory: String

    private static let patience: UInt64 = 10_000_000_000

    init() throws(BenchmarkError) {
        let program = try BuiltProgram.path("memslotd")
        // A socket's path has room for 107 bytes, which that of another temporary folder may take up.
        var template = Array("/tmp/memslot-bench.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw .broken("no folder for a socket") }
        directory = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = directory + "/s"
        let start = ys_now()
        process = BuiltProgram.withArguments([program, "--socket", path]) { ys_start(program, $0) }
        guard process > 0 else { throw .broken("memslotd can't be started") }
        while true {
            let socket = ys_connect(path)
            if socket >= 0 {
                startTime = Double(ys_now() - start)
                close(socket)
                return
            }
            guard ys_is_running(process) != 0 else { throw .broken("memslotd has ended at once") }
            guard ys_now() - start < Self.patience else { throw .broken("memslotd never listens") }
            usleep(50)
        }
    }

    deinit {
        _ = ys_end(process)
        unlink(path)
        unlink(path + ".lock")
        rmdir(directory)
    }

    func connect() throws(BenchmarkError) -> DaemonConnection {
        let socket = ys_connect(path)
        guard socket >= 0 else { throw .broken("memslotd takes no connection") }
        return DaemonConnection(socket)
    }

    /// A line of `/proc/PID/status`, such as `VmRSS`, in bytes.
    func memory(_ name: String) throws(BenchmarkError) -> Double {
        let lines = SmallFile.read("/proc/\(process)/status")?.split(separator: "\n") ?? []
        guard let line = lines.first(where: { $0.hasPrefix(name + ":") }),
            let kilobytes = line.split(whereSeparator: { " \t".contains($0) }).dropFirst().first,
            let count = Double(kilobytes)
        else { throw .broken("no \(name) of memslotd") }
        return count * 1_024
    }
}

/// A connection to the daemon, driven by the same C that drives the echo server.
final class DaemonConnection {
    let socket: Int32
    private var answer = [UInt8](repeating: 0, count: 8 << 20)

    init(_ socket: Int32) { self.socket = socket }

    deinit { close(socket) }

    /// Sends a line, and reads the answer.
    @discardableResult
    func exchange(_ line: [UInt8]) throws(BenchmarkError) -> ArraySlice<UInt8> {
        let count = ys_exchange(socket, line, line.count, &answer, answer.count)
        guard count >= 0 else { throw .broken("memslotd doesn't answer: errno \(-count)") }
        return answer[..<Int(count)]
    }

    /// As ``exchange(_:)``; what isn't a result is no good.
    func ask(_ line: [UInt8]) throws(BenchmarkError) {
        let answer = try exchange(line)
        // Looked at in one place, so that it costs nothing beside a commit.
        guard answer.prefix(Self.begin.count).elementsEqual(Self.begin) else {
            throw .broken("memslotd says " + String(decoding: answer.prefix(300), as: UTF8.self))
        }
    }

    private static let begin = Array("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":".utf8)
}

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

/// An executable that was built beside this one.
enum BuiltProgram {
    /// The path of `memslotd` or `memslotctl`.
    static func path(_ name: String) throws(BenchmarkError) -> String {
        var room = [UInt8](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &room, room.count)
        let own = String(decoding: room.prefix(max(count, 0)), as: UTF8.self)
        let path = own.prefix(through: own.lastIndex(of: "/") ?? own.startIndex) + name
        guard access(String(path), X_OK) == 0 else {
            throw .unavailable("\(name) isn't built: run swift build -c release first")
        }
        return String(path)
    }

    /// Calls `body` with the words of a command line as C takes them.
    static func withArguments<Result>(
        _ words: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var copies: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for copy in copies { free(copy) } }
        return copies.withUnsafeMutableBufferPointer { words in
            guard let base = words.baseAddress else { preconditionFailure("never empty") }
            return body(base)
        }
    }
}

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
