import CLinux
import Glibc
import Logging
import MemslotService
import Memslots

/// The service and its server, with signals, metrics and systemd around them.
struct Daemon {
    private let service: MemslotService
    private let server: SocketServer
    private let log: Logger
    private let metrics: MetricsFile?
    private let notification: ServiceNotification
    private let inherited: InheritedDescriptors
    private let sandbox: Sandbox
    private let socket: SocketOptions

    /// Adopts what systemd passes, confines this process to its files, and restores the VMs of the
    /// state directory; `nil`, with the reason in the log, if it can't.
    init?(
        limits: ServiceLimits, socket: SocketOptions, operation: OperationOptions,
        state options: StateOptions, launcher: DescriptorLauncher
    ) {
        self.socket = socket
        Signals.block()
        LogFormat.chosen = operation.logFormat
        let log = Logger(label: "memslotd") { _ in LineLogHandler(logLevel: operation.logLevel) }
        self.log = log
        notification = ServiceNotification()
        inherited = InheritedDescriptors.adopt()
        MemslotService.examineHost()
        sandbox = Sandbox(mode: operation.confinement)
        do throws(SandboxError) {
            // Before anything is logged: the log has a thread.
            let listens = !operation.stdio && (socket.socket != nil || !inherited.hasSocket)
            let uses = try Sandbox.uses(
                socket: listens ? socket : nil, state: options.stateDir,
                metricsFile: operation.metricsFile)
            for note in try sandbox.confineFiles(to: uses) { log.warning("\(note)") }
        } catch {
            Self.complain("can't start", error.message, to: log)
            return nil
        }
        let events = EventLog(log: log)
        let limits = Self.lowered(limits, log)
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
            Self.complain("can't use the state directory", error.message, to: log)
            return nil
        }
        service.observeTables { events.record($0, vm: $1, user: $2) }
        server = SocketServer(
            service, access: socket.access, launcher: launcher, observer: { events.record($0) })
        metrics = operation.metricsFile.map { [service] path in
            MetricsFile(path: path, log: log) { service.textMetrics() }
        }
    }

    /// Lowers the limits where the process may not have as many descriptors as they need.
    private static func lowered(_ limits: ServiceLimits, _ log: Logger) -> ServiceLimits {
        if limits.memoryLimit < ServiceLimits().memoryLimit {
            let isTight = limits.memoryLimit > HostMemory.half
            log.log(
                level: isTight ? .warning : .notice,
                isTight
                    ? "the limits may take more than half of the memory: lower --max-line, --max-connections or --max-vms"
                    : "limits are lowered to fit half of the memory, or --memory-limit",
                metadata: limits.lowered.mapValues { "\($0)" })
        }
        let available = Int(clamping: clinux_raise_descriptor_limit())
        var lowered = limits
        if lowered.lower(toDescriptors: available) {
            log.warning(
                "limits are lowered: the hard limit of descriptors is too low",
                metadata: [
                    "descriptors": "\(available)", "needed": "\(limits.neededDescriptors)",
                    "connections": "\(lowered.connections)", "vms": "\(lowered.vms)",
                    "memories": "\(lowered.memories)", "observers": "\(lowered.observers)",
                    "passedDescriptors": "\(lowered.passedDescriptors)",
                ])
        }
        return lowered
    }

    /// Serves the socket. Returns whether the server ended cleanly.
    func serve() -> Bool {
        do throws(ListeningError) {
            let listener = try self.listener()
            return serve { server.run(listener) }
        } catch {
            Self.complain("can't listen", error.message, to: log)
            return false
        }
    }

    /// Serves standard input and output. Returns whether the server ended cleanly.
    func serveStandardIO() -> Bool {
        serve { server.run(input: STDIN_FILENO, output: STDOUT_FILENO) }
    }

    private func serve(_ run: () -> Bool) -> Bool {
        do throws(SandboxError) {
            for note in try sandbox.confineCalls() { log.warning("\(note)") }
        } catch {
            Self.complain("can't start", error.message, to: log)
            return false
        }
        start()
        let isClean = run()
        metrics?.remove()
        LogQueue.standardError.flush()
        return isClean
    }

    private func listener() throws(ListeningError) -> Listener {
        if socket.socket == nil, let listener = try inherited.listener() { return listener }
        return try server.listen(at: socket.path)
    }

    private static func complain(_ what: String, _ reason: String, to log: Logger) {
        log.critical("\(what)", metadata: ["reason": "\(reason)"])
        LogQueue.standardError.flush()
    }

    /// Handles signals from here on, writes metrics, and notifies systemd.
    private func start() {
        Signals.onEnd { [server, notification, metrics] in
            metrics?.remove()
            notification.stopping()
            server.stop()
        }
        metrics?.start()
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

private enum Signals {
    /// Blocks them in this thread and in every thread that is started later.
    static func block() {
        signal(SIGPIPE, SIG_IGN)
        // A write beyond the file size limit fails with an errno instead.
        signal(SIGXFSZ, SIG_IGN)
        var set = ending
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `end` on a thread of its own at the first signal. The second one ends the process.
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
        for number in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, number) }
        return set
    }

    private static func wait() -> Int32 {
        var set = ending
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        return number
    }
}
