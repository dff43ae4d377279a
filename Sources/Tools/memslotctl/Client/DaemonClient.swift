import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots

struct DaemonRequest {
    let method: String
    var vm: String?
    var array: ArrayFile?
    var descriptors: [Int32] = []
    var params: [UInt8]?
}

extension DaemonRequest {
    /// With the members `vm` and `slots`, if given, and those that `members` writes. Faults of
    /// `array` are printed with their lines in its file.
    init(
        _ method: Method, vm: String? = nil, array: ArrayFile? = nil,
        descriptors: [Int32] = [], _ members: (inout JSONWriter) -> Void = { _ in }
    ) {
        var writer = JSONWriter()
        writer.object {
            $0.member("vm", vm)
            if let array { $0.slots(of: array) }
            members(&$0)
        }
        self.init(
            method: method.rawValue, vm: vm, array: array, descriptors: descriptors,
            params: writer.finish())
    }
}

struct DaemonClient: ~Copyable {
    typealias Reply = (result: JSONValue, descriptors: PassedDescriptors)

    fileprivate var connection: ClientConnection
    let hint: Hint
    let socket: String

    /// Throws the exit status, after printing the error.
    mutating func send(_ request: DaemonRequest) throws(ExitCode) -> Reply {
        let received: ClientConnection.Received
        var writer = JSONWriter()
        writer.request(method: request.method, id: RequestID(1), params: request.params)
        do throws(TargetLost) {
            received = try connection.exchange(writer.finish(), descriptors: request.descriptors)
        } catch { throw Self.failure(error) }
        let value = received.value
        if let result = value?["result"] { return (result, received.descriptors) }
        guard let error = value?["error"] else {
            throw Self.failure(TargetLost("the server's line is not a reply"))
        }
        let hint = hint.naming(request.vm)
        Refusal(error, hint, method: request.method).lines(about: request.array).forEach(
            Terminal.complain)
        throw .failure
    }

    /// Drops the notifications that arrived before the last reply.
    mutating func discardNotifications() { connection.discardNotifications() }

    mutating func nextNotification() throws(ExitCode) -> JSONValue? {
        try converting(Self.failure, connection.nextNotification()?.value)
    }

    private static func failure(_ lost: TargetLost) -> ExitCode { .failed(lost.message) }
}

/// A command that sends one request and prints its result.
protocol RequestCommand: ParsableCommand {
    var client: ClientOptions { get }
    func request() throws -> DaemonRequest
    func lines(_ result: JSONValue) -> [String]
}

extension RequestCommand { func run() throws { try client.run(request(), lines: lines) } }

protocol VMRequestCommand: RequestCommand { var target: VMOptions { get } }

extension VMRequestCommand {
    var client: ClientOptions { target.client }
    var vm: String { target.vm }
}

struct VMOptions: ParsableArguments {
    @OptionGroup var client: ClientOptions
    @Argument(help: "The VM's name.") var vm: String
}

struct ClientOptions: ParsableArguments {
    @OptionGroup(title: "Daemon") var daemon: DaemonOptions
    @Flag(help: "Print the result as JSON, on one line.") var json = false

    /// Prints the result of a request: as received with `--json`, else as `lines`.
    func run(_ request: DaemonRequest, lines: (JSONValue) -> [String]) throws {
        var connection = try daemon.connect()
        let reply = try connection.send(request)
        if !printJSON(reply.result) { Terminal.print(lines(reply.result)) }
    }

    func printJSON(_ value: JSONValue) -> Bool {
        if json { Terminal.write(value.rawBytes + [UInt8(ascii: "\n")]) }
        return json
    }
}

struct DaemonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's socket.",
            discussion: "By default $MEMSLOTS_SOCKET; without that variable your own daemon's: "
                + "$XDG_RUNTIME_DIR/memslots/memslotd.sock, without that variable "
                + "/run/memslots/memslotd.sock for root and /tmp/memslots-UID/memslotd.sock; and "
                + "where nobody listens there, the machine's: /run/memslots/memslotd.sock.",
            valueName: "path"),
        completion: .file(extensions: ["sock"]))
    var socket: String?

    @Option(
        help: ArgumentHelp(
            "A user as whom the daemon may run.",
            discussion: "Root and your own user always may. Another user may if it owns the "
                + "socket's directory, and every directory above is root's and writable by root "
                + "alone.", valueName: "uid"))
    var serverUid: UInt32?

    var hint: Hint { Hint(socket: socket, serverUser: serverUid) }

    /// Throws the exit status, after printing the error and what to do.
    func connect() throws(ExitCode) -> DaemonClient {
        var lost: TargetLost?
        for path in try paths() {
            do throws(TargetLost) {
                let connection = try ClientConnection(path, serverUser: serverUid)
                return DaemonClient(
                    connection: connection, hint: hint, socket: path.path)
            } catch {
                guard error.isNobody else { throw noDaemon(error) }
                lost = lost ?? error
            }
        }
        throw noDaemon(lost ?? TargetLost("no socket is named"))
    }

    private var named: String? { socket ?? getenv("MEMSLOTS_SOCKET").map { String(cString: $0) } }

    /// Where a daemon may listen, in the order in which they are tried.
    func paths() throws(ExitCode) -> [SocketPath] {
        do throws(ListeningError) {
            guard let named else { return try SocketPath.searched() }
            return [try SocketPath(named)]
        } catch { throw .failed(error.message) }
    }

    /// Prints that no daemon listens and how to start one, or how to permit the one that listens.
    func noDaemon(_ lost: TargetLost) -> ExitCode {
        Terminal.complain(lost.message)
        if let user = lost.foreignServer {
            return .failed("If you trust that user, add: --server-uid \(user)")
        }
        if lost.errno == EACCES {
            return .failed(
                "To permit it, add this user to the socket's group (in memslotd.socket: SocketGroup= "
                    + "and SocketMode=0660), and start memslotd with --allow-gid and that group.")
        }
        let isMachine = named.map { $0 == SocketPath.ofMachine } ?? true
        if isMachine, Self.hasUnit() {
            return .failed("Start the daemon with: systemctl start memslotd.socket")
        }
        let program = OwnProgram.word(starting: "memslotd")
        return .failed("Start a daemon with: \(program)\(Hint(socket: named).option)")
    }

    /// Returns whether systemd runs and has the unit of the machine's daemon.
    private static func hasUnit() -> Bool {
        ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"].contains {
            access("\($0)/systemd/system/memslotd.socket", F_OK) == 0
        } && access("/run/systemd/system", F_OK) == 0
    }
}

extension JSONValue {
    /// A line for each element of a list of objects, and for each long part.
    func indented(_ key: String = "", longest: Int = 2) -> [String] {
        let isLong = rawBytes.count > longest && (kind == .object || kind == .array)
        guard isLong || elements.contains(where: { $0.kind == .object }) else {
            return [key + Terminal.safe(rawText)]
        }
        let parts =
            members.map { $0.value.indented($0.key.rawText + ": ", longest: 512) }
            + elements.map { $0.indented(longest: 512) }
        var lines = parts.flatMap { $0.dropLast() + [$0[$0.count - 1] + ","] }.map { "  " + $0 }
        lines[lines.count - 1].removeLast()
        return [key + (kind == .object ? "{" : "[")] + lines + [kind == .object ? "}" : "]"]
    }

    /// The elements of the member `name`, none if there is no such list.
    func list(_ name: String) -> [JSONValue] { self[name].map { Array($0.elements) } ?? [] }
    func strings(_ name: String) -> [String] { list(name).compactMap(\.string) }
    /// The members of the member `name`, none if there is no such object.
    func objects(_ name: String) -> [JSONMember] { self[name].map { Array($0.members) } ?? [] }

    func duration(_ name: String) -> String {
        "\(HumanDuration(nanoseconds: self[name]?.uint64 ?? 0))"
    }

    func size(_ name: String = "size") -> String {
        guard case .success(let bytes)? = self[name]?.quantity else { return "?" }
        return "\(HumanSize(bytes: bytes))"
    }
}
