import CYardsticks
import Glibc
import MemslotLab
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

extension DaemonProcess {
    /// A `memslotd` that accepts connections.
    static func ready() throws -> DaemonProcess {
        let daemon = try DaemonProcess(executable: builtProgram("memslotd"), hasLogFile: true)
        try daemon.start()
        _ = try daemon.waitUntilReady()
        return daemon
    }

    func connect() throws -> DaemonConnection { DaemonConnection(try ClientConnection(socket)) }

    func usage() throws -> ProcessUsage {
        guard let usage = ProcessUsage(of: process) else {
            throw BenchmarkError.broken("the usage of memslotd can't be read")
        }
        return usage
    }
}

/// Returns the path of `memslotd` or `memslotctl`, built beside this program.
func builtProgram(_ name: String) throws -> String {
    let path = "\(OwnProgram.folder)/\(name)"
    guard access(path, X_OK) == 0 else {
        let remedy = OwnProgram.remedy(missing: name, package: "the package memslots")
        throw BenchmarkError.unavailable("\(path) is missing: \(remedy)")
    }
    return path
}

/// A connection to the daemon, through the same C functions as the echo server's.
final class DaemonConnection {
    var socket: Int32 { client.socket }
    private let client: ClientConnection
    private var reply = [UInt8](repeating: 0, count: 8 << 20)

    init(_ client: consuming ClientConnection) { self.client = client }

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
        BuiltProgram.wait(for: process)
    }
}

enum RequestLine {
    static func create(vm: String) -> [UInt8] {
        make(.vmCreate, vm: vm) { $0.member("backend", "simulated") }
    }

    static func submit(_ slots: [Memslot], to vm: String) -> [UInt8] {
        make(.memslotsSubmit, vm: vm) {
            $0.list("slots", slots) { writer, slot in
                writer.slot(SlotMessage(slot, backing: .userspaceAddress(slot.userspaceAddress)))
            }
        }
    }

    /// A request with the VM and other parameters.
    static func make(
        _ method: Method, vm: String, others: (inout JSONWriter) -> Void = { _ in }
    ) -> [UInt8] {
        var line = JSONWriter()
        line.request(method, vm: vm, id: 1, others)
        return line.finish()
    }
}
