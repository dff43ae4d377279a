import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotService

/// A daemon that is connected to: asked by method, its refusals told to a person.
struct Daemon: ~Copyable {
    /// What a request brought.
    struct Answer {
        let result: JSONValue
        let descriptors: PassedDescriptors
    }

    private var connection: ClientConnection

    init(_ connection: consuming ClientConnection) { self.connection = connection }

    /// Asks, and waits for the answer.
    ///
    /// - Parameters:
    ///   - file: the array that is sent, to tell where in it a fault is.
    ///   - descriptors: sent with the request.
    ///   - members: writes the members of `params` after the VM's name.
    /// - Throws: the exit status, once the refusal was told.
    mutating func ask(
        _ method: Method, vm: String? = nil, about file: SubmittedFile? = nil,
        descriptors: [Int32] = [], _ members: (inout JSONWriter) -> Void = { _ in }
    ) throws(ExitCode) -> Answer {
        var writer = JSONWriter()
        writer.beginObject()
        if let vm {
            writer.key("vm")
            writer.string(vm)
        }
        members(&writer)
        writer.endObject()
        let received: ClientConnection.Received
        do throws(TargetLost) {
            received = try connection.call(
                method.rawValue, params: writer.finish(), descriptors: descriptors)
        } catch {
            throw Self.told(error)
        }
        let value = received.value
        if let result = value?["result"] {
            return Answer(result: result, descriptors: received.descriptors)
        }
        guard let error = value?["error"] else {
            throw Self.told(TargetLost("the server answered with something that is no response"))
        }
        Refusal(error).lines(about: file).forEach(Terminal.complain)
        throw .failure
    }

    /// Lets go of what the daemon sent unasked before its last answer.
    mutating func forgetNotifications() { connection.forgetNotifications() }

    /// Waits for what the daemon sends unasked; `nil` once it has closed.
    mutating func nextNotification() throws(ExitCode) -> JSONValue? {
        do throws(TargetLost) { return try connection.nextNotification()?.value } catch {
            throw Self.told(error)
        }
    }

    private static func told(_ lost: TargetLost) -> ExitCode {
        Terminal.complain(lost.message)
        return .failure
    }
}

/// Which daemon is asked.
struct DaemonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's socket.",
            discussion: "Without it the one where memslotd listens without --socket: "
                + "$XDG_RUNTIME_DIR/memslots/memslotd.sock; without that variable "
                + "/run/memslots/memslotd.sock for root and /tmp/memslots-UID/memslotd.sock.",
            valueName: "path"),
        completion: .file(extensions: ["sock"]))
    var socket: String?

    /// Connects.
    ///
    /// - Throws: the exit status, once it was told that no daemon is there, and how to start one.
    func connect() throws(ExitCode) -> Daemon {
        let path = try self.path()
        do throws(TargetLost) {
            return Daemon(try ClientConnection(path))
        } catch {
            throw Self.told(error, socket: socket)
        }
    }

    /// Where the daemon is to be.
    func path() throws(ExitCode) -> SocketPath {
        do throws(ListeningError) {
            guard let socket else { return try SocketPath.standard() }
            return try SocketPath(socket)
        } catch {
            Terminal.complain(error.message)
            throw .failure
        }
    }

    /// Tells that nobody listens, and what to do.
    static func told(_ lost: TargetLost, socket: String?) -> ExitCode {
        Terminal.complain(lost.message)
        let option = socket.map { " --socket \($0)" } ?? ""
        Terminal.complain("Start a daemon with: memslotd\(option)")
        return .failure
    }
}

/// Which daemon is asked, and how its answer is shown.
struct ClientOptions: ParsableArguments {
    @OptionGroup(title: "Daemon")
    var daemon: DaemonOptions

    @Flag(help: "Print the bare result as JSON, on one line.")
    var json = false

    /// Connects, asks, and shows the answer: as it came with `--json`, else by `tell`.
    ///
    /// - Parameters:
    ///   - file: the array that is sent, to tell where in it a fault is.
    ///   - descriptors: sent with the request.
    ///   - members: writes the members of `params` after the VM's name.
    /// - Throws: the exit status, once the refusal was told.
    func ask(
        _ method: Method, vm: String? = nil, about file: SubmittedFile? = nil,
        descriptors: [Int32] = [], _ members: (inout JSONWriter) -> Void = { _ in },
        tell: (JSONValue) throws -> Void
    ) throws {
        var connection = try daemon.connect()
        let answer = try connection.ask(
            method, vm: vm, about: file, descriptors: descriptors, members)
        if !print(answer) { try tell(answer.result) }
    }

    /// Prints the result as it came where that was asked for.
    ///
    /// - Returns: whether it was.
    func print(_ answer: Daemon.Answer) -> Bool {
        if json { Terminal.write(answer.result.rawBytes + [UInt8(ascii: "\n")]) }
        return json
    }
}
