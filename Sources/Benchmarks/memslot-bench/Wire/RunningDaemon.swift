import CYardsticks
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotTestKit
import Memslots

/// `memslotd` as a child process, with its socket in a temporary folder.
final class RunningDaemon {
    let process: Int32
    let path: String
    /// Nanoseconds from its start until it accepted a connection.
    let startTime: Double
    private let directory: String

    private static let patience: UInt64 = 10_000_000_000

    init() throws {
        let program = try BuiltProgram.path("memslotd")
        // The path of a socket is limited to 107 bytes, so that TMPDIR may be too long.
        var template = Array("/tmp/memslot-bench.XXXXXX".utf8CString)
        try require(mkdtemp(&template) != nil, "no temporary folder")
        directory = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = directory + "/s"
        let start = ys_now()
        process = BuiltProgram.withArguments([program, "--socket", path]) { ys_start(program, $0) }
        try require(process > 0, "memslotd can't be started")
        while true {
            let socket = ys_connect(path)
            if socket >= 0 {
                startTime = Double(ys_now() - start)
                close(socket)
                return
            }
            try require(ys_is_running(process) != 0, "memslotd ended at once")
            try require(ys_now() - start < Self.patience, "memslotd does not listen")
            usleep(50)
        }
    }

    deinit {
        _ = ys_end(process)
        unlink(path)
        unlink(path + ".lock")
        rmdir(directory)
    }

    func connect() throws -> DaemonConnection {
        let socket = ys_connect(path)
        try require(socket >= 0, "memslotd accepts no connection")
        return DaemonConnection(socket)
    }

    /// A field of `/proc/PID/status`, such as `VmRSS`, in bytes.
    func memory(_ name: String) throws -> Double {
        let lines = Files.text(of: "/proc/\(process)/status")?.split(separator: "\n") ?? []
        guard let line = lines.first(where: { $0.hasPrefix(name + ":") }),
            let kilobytes = line.split(whereSeparator: { " \t".contains($0) }).dropFirst().first,
            let count = Double(kilobytes)
        else { throw BenchmarkError.broken("no \(name) of memslotd") }
        return count * 1_024
    }
}

/// A connection to the daemon, through the same C functions as the echo server's.
final class DaemonConnection {
    let socket: Int32
    private var reply = [UInt8](repeating: 0, count: 8 << 20)

    init(_ socket: Int32) { self.socket = socket }

    deinit { close(socket) }

    @discardableResult
    func exchange(_ line: [UInt8]) throws -> ArraySlice<UInt8> {
        let count = ys_exchange(socket, line, line.count, &reply, reply.count)
        try require(count >= 0, "memslotd does not reply: errno \(-count)")
        return reply[..<Int(count)]
    }

    /// Sends a line; throws if the reply is not a result.
    func request(_ line: [UInt8]) throws {
        let reply = try exchange(line)
        // Only the beginning is compared, which costs nothing beside a commit.
        try require(
            reply.prefix(Self.begin.count).elementsEqual(Self.begin),
            "memslotd replies " + String(decoding: reply.prefix(300), as: UTF8.self))
    }

    private static let begin = Array("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":".utf8)
}

/// The yardstick's server as a child process.
final class EchoServer {
    let socket: Int32
    private let process: Int32

    init() throws {
        var socket: Int32 = -1
        process = ys_echo_start(&socket)
        try require(process > 0, "no echo server: errno \(-process)")
        self.socket = socket
    }

    deinit {
        close(socket)
        _ = ys_wait(process)
    }
}

/// An executable built beside this one.
enum BuiltProgram {
    /// Returns the path of `memslotd` or `memslotctl`.
    static func path(_ name: String) throws -> String {
        let path = "\(OwnProgram.folder)/\(name)"
        guard access(path, X_OK) == 0 else {
            let remedy = OwnProgram.remedy(missing: name, package: "the package memslots")
            throw BenchmarkError.unavailable("\(path) is missing: \(remedy)")
        }
        return path
    }

    /// Calls `body` with the words of a command line as an argument vector of C.
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

/// A daemon that translates one address a request, and an echo server beside it.
final class SmallRequests {
    let connection: DaemonConnection
    let server: EchoServer
    /// What is asked. What is echoed is about as long as the reply.
    let line: [UInt8]
    private let daemon: RunningDaemon

    init() throws {
        daemon = try RunningDaemon()
        connection = try daemon.connect()
        try connection.request(RequestLine.create(vm: "small"))
        try connection.request(RequestLine.submit(BenchmarkArray.slots(64), to: "small"))
        line = RequestLine.make(.memslotsTranslate, vm: "small") {
            $0.list("addresses", [0x10_0000]) { $0.address($1) }
        }
        try connection.request(line)
        server = try EchoServer()
    }
}
