import ArgumentParser
import CLinux
import Glibc
import MemslotService
import Memslots

@main
struct Memslotd: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memslotd",
        abstract: "Serve atomic changes of KVM guest memory over a Unix socket.",
        discussion: """
            Each line is one JSON-RPC 2.0 message. Without --socket the socket is \
            $XDG_RUNTIME_DIR/memslots/memslotd.sock; without that variable it is \
            /run/memslots/memslotd.sock for root and /tmp/memslots-UID/memslotd.sock for others. \
            A missing directory is created with mode 0700. A directory that others may write to \
            is refused. Under systemd socket activation the daemon serves the socket that systemd \
            passes.

            The daemon confines itself: to its own files where the kernel has Landlock, and to \
            the system calls that it needs. --no-sandbox runs it without.

            The daemon's own user and root may connect. The log goes to standard error. Without \
            --stdio nothing is written to standard output.

            SIGTERM, SIGINT and SIGHUP end the daemon gracefully and within 10 seconds, unless \
            --max-kernel-memory permits slot calls that take longer; a second signal ends it at \
            once. Exit status: 0 after a clean end; 1 if it can't listen, can't use \
            its state directory, can't confine itself, or had to close connections that did not end \
            in time; 64 for wrong usage.
            """, version: MemslotService.version)

    @OptionGroup(title: "Socket") var socket: SocketOptions
    @OptionGroup(title: "Operation") var operation: OperationOptions
    @OptionGroup(title: "State") var state: StateOptions
    @OptionGroup(title: "Limits") var limits: LimitOptions

    func validate() throws {
        if operation.stdio && socket.isGiven {
            throw ValidationError("--stdio serves no socket: omit the socket's options")
        }
        if operation.noSandbox && operation.sandbox != nil {
            throw ValidationError("--sandbox and --no-sandbox exclude each other")
        }
    }

    func run() throws {
        let limits = try limits.limits()
        // Before the first thread and the first open file: its processes must have none of them.
        let launcher: DescriptorLauncher
        do throws(Errno) {
            launcher = try DescriptorLauncher(confinement: operation.confinement)
        } catch {
            throw ListeningError("no process can be started to receive descriptors: \(error)")
        }
        // By default glibc has eight heaps a core. Each grows to the most that its busiest thread
        // ever used, and does not shrink. With two heaps in all, the second one unmapped large
        // pieces at once and mapped them again: a submit of 3 MB took 16 ms instead of 9.
        clinux_limit_arenas(Int32(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 4)))
        guard
            let daemon = Daemon(
                limits: limits, socket: socket, operation: operation, state: state,
                launcher: launcher)
        else { throw ExitCode(1) }
        let isClean = operation.stdio ? daemon.serveStandardIO() : daemon.serve()
        if !isClean { throw ExitCode(1) }
    }
}
