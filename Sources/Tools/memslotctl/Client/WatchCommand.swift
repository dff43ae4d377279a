import ArgumentParser
import Glibc
import MemslotPicture
import MemslotProtocol

struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Draw the memory map anew at every commit.",
        discussion: """
            Without VM all of your VMs are followed, also those that are made later. Ends with \
            the daemon or the run, or at Ctrl-C. With --json the snapshot and then each event is a line.
            """)

    @OptionGroup
    var client: ClientOptions

    @Option(help: ArgumentHelp("End after so many events.", valueName: "n"))
    var events: Int?

    @Argument(help: "The VM's name.")
    var vm: String?

    func run() throws {
        var connection = try client.daemon.connect()
        var watched = WatchedVMs()
        try subscribe(&connection, &watched)
        var left = events ?? .max
        while left > 0, let event = try connection.nextNotification() {
            left -= 1
            if client.json { Terminal.write(event.rawBytes + [UInt8(ascii: "\n")]) }
            if event["method"]?.isString("events.dropped") ?? false {
                // What was lost can't be made up for: a new snapshot can.
                try subscribe(&connection, &watched)
                continue
            }
            let isEnd = event["method"]?.isString("run.ended") ?? false
            guard let changed = watched.apply(event) else { continue }
            if !client.json { draw(watched, changed: changed) }
            flush()
            // A run's socket ends with the run.
            if isEnd { return }
        }
        if left > 0 {
            Terminal.complain("the daemon has ended")
            throw ExitCode.failure
        }
    }

    private func subscribe(_ connection: inout Daemon, _ watched: inout WatchedVMs) throws {
        let snapshot = try connection.ask(.eventsSubscribe) { writer in
            guard let vm else { return }
            writer.key("vm")
            writer.string(vm)
        }
        // What came before the snapshot is in it; drawn after it, it would undo what came since.
        connection.forgetNotifications()
        watched = WatchedVMs(snapshot: snapshot.result)
        if !client.print(snapshot) { draw(watched, changed: nil) }
        flush()
    }

    /// A terminal shows all VMs, and the last change; a file gets only what changed.
    private func draw(_ watched: WatchedVMs, changed: WatchedVMs.Change?) {
        let isLive = Terminal.isTerminal(STDOUT_FILENO)
        // To the top left, and all below is erased: no flicker, the scroll-back stays.
        if isLive { print("\u{1B}[H\u{1B}[2J", terminator: "") }
        let shown = isLive || changed == nil ? watched.names : changed?.vm.map { [$0] } ?? []
        if watched.names.isEmpty && changed == nil { print("no VMs yet") }
        // What changed no map is said below the last one.
        for name in shown { Terminal.print(watched.lines(of: name)) }
        if let changed { print(changed.sentence + "\n") }
    }

    private func flush() { fflush(nil) }
}
