import Glibc
import Logging
import MemslotService
import Memslots

/// The service and its server, with signals, metrics and systemd around them.
struct Daemon {
    private let service: MemslotService
    private let server: SocketServer
    private let access: PeerAccess
    private let log: Logger
    private let metricsFile: String?
    private let notification: ServiceNotification
    private let inherited: InheritedDescriptors

    /// Adopts what systemd passes, and restores the VMs of the state directory.
    ///
    /// Returns `nil`, with the reason in the log, if the state directory can't be used.
    init?(
        limits: ServiceLimits, access: PeerAccess, operation: OperationOptions,
        state options: StateOptions, launcher: DescriptorLauncher
    ) {
        Signals.block()
        metricsFile = operation.metricsFile
        let log = Logger(label: "memslotd") { _ in LineLogHandler(level: operation.logLevel) }
        self.log = log
        notification = ServiceNotification()
        inherited = InheritedDescriptors.adopt()
        let events = EventLog(log: log)
        do throws(StateError) {
            let descriptors = ServiceDescriptorStore(notification, inherited)
            let state = try options.stateDir.map { path throws(StateError) in
                try StateStore(
                    at: path, isSynced: options.stateSync, descriptors: descriptors,
                    observer: { events.record($0) })
            }
            service = MemslotService(limits: limits, state: state)
            try service.restore()
        } catch {
            log.critical("can't use the state directory", metadata: ["reason": "\(error.message)"])
            LogQueue.standardError.flush()
            return nil
        }
        service.observeTables { events.record($0, vm: $1, user: $2) }
        server = SocketServer(
            service, access: access, launcher: launcher, observer: { events.record($0) })
        self.access = access
    }

    /// Serves the socket at `path`; without a path, the one that systemd passed or the standard
    /// one.
    ///
    /// - Returns: whether the server ended cleanly.
    func serve(_ path: String?) -> Bool {
        let listener: Listener
        do throws(ListeningError) {
            listener = try self.listener(path)
        } catch {
            log.critical("can't listen", metadata: ["reason": "\(error.message)"])
            LogQueue.standardError.flush()
            return false
        }
        start()
        let isClean = server.run(listener)
        LogQueue.standardError.flush()
        return isClean
    }

    /// Serves standard input and output.
    ///
    /// - Returns: whether the server ended cleanly.
    func serveStandardIO() -> Bool {
        start()
        let isClean = server.run(input: STDIN_FILENO, output: STDOUT_FILENO)
        LogQueue.standardError.flush()
        return isClean
    }

    private func listener(_ path: String?) throws(ListeningError) -> Listener {
        if let path { return try server.listen(at: SocketPath(path)) }
        if let listener = try inherited.listener() { return listener }
        return try server.listen(at: SocketPath.standard())
    }

    /// Handles signals from here on, writes metrics, and notifies systemd.
    private func start() {
        let (server, notification) = (server, notification)
        Signals.onEnd {
            notification.stopping()
            server.stop()
        }
        if let metricsFile {
            MetricsFile(path: metricsFile, log: log) { [service] in service.openMetrics() }.start()
        }
        notification.ready()
        if let microseconds = notification.watchdogMicroseconds {
            let watchdog = Watchdog(
                service: service, notification: notification, microseconds: microseconds)
            do throws(Errno) { try watchdog.start() } catch {
                // systemd will restart the service because it is silent: this logs why.
                log.error("the watchdog has no thread", metadata: ["reason": "\(error)"])
            }
        }
    }
}

/// The signals that end the daemon.
private enum Signals {
    /// Blocks them in this thread and in every thread that is started later.
    static func block() {
        signal(SIGPIPE, SIG_IGN)
        // A write beyond the file size limit fails with an errno instead.
        signal(SIGXFSZ, SIG_IGN)
        var set = ending
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `end` on a thread of its own at the first `SIGTERM` or `SIGINT`. The second one ends
    /// the process at once.
    static func onEnd(_ end: @escaping @Sendable () -> Void) {
        do throws(Errno) {
            try OwnThread {
                _ = Signals.wait()
                end()
                // Waits for nothing more, not even for the last lines of the log.
                _exit(128 + Signals.wait())
            }.detach()
        } catch {
            preconditionFailure("the process can't start a thread for its signals: \(error)")
        }
    }

    private static var ending: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigaddset(&set, SIGINT)
        return set
    }

    private static func wait() -> Int32 {
        var set = ending
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        return number
    }
}
