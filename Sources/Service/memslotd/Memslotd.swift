import ArgumentParser
import CLinux
import Glibc
import MemslotService

@main
struct Memslotd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslotd",
        abstract: "Serve atomic changes of KVM guest memory over a Unix socket.",
        discussion: """
            One JSON-RPC 2.0 message a line. Without --socket the socket is \
            $XDG_RUNTIME_DIR/memslots/memslotd.sock; without that variable \
            /run/memslots/memslotd.sock for root and /tmp/memslots-UID/memslotd.sock for others. \
            A missing directory is made, 0700; one that others may write to is refused. Under \
            systemd socket activation the socket that it hands over is used.

            The daemon's own user and root may connect. Nothing is written to standard output; \
            the log goes to standard error.

            SIGTERM and SIGINT end it gracefully, a second one at once. Exit status: 0 ended, \
            1 it could not listen, could not have its state directory, or had to cut connections off, 64 wrong usage.
            """,
        version: MemslotService.version)

    @OptionGroup(title: "Socket")
    var socket: SocketOptions

    @OptionGroup(title: "Operation")
    var operation: OperationOptions

    @OptionGroup(title: "State")
    var state: StateOptions

    @OptionGroup(title: "Limits")
    var limits: LimitOptions

    func validate() throws {
        if operation.stdio && socket.isGiven {
            throw ValidationError("--stdio serves no socket: leave the socket's options out")
        }
    }

    func run() throws {
        // Measured: of eight heaps a core each grows to what the busiest thread ever held, and none
        // is given back; of two, the one that isn't the program's own gives large pieces back at
        // once and takes them anew, so that a submit of 3 MB took 16 ms by turns with 9.
        clinux_limit_arenas(Int32(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 4)))
        guard
            let daemon = Daemon(
                limits: limits.limits, access: socket.access, operation: operation, state: state)
        else { throw ExitCode(1) }
        let isClean = operation.stdio ? daemon.serveStandardIO() : daemon.serve(socket.socket)
        if !isClean { throw ExitCode(1) }
    }
}
