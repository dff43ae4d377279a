import ArgumentParser
import MemslotPicture
import MemslotProtocol
import MemslotService

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
