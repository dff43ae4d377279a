import Glibc
import Logging
import MemslotService
import Memslots

/// The service, its server, and what surrounds them in a process of their own.
struct Daemon {
    private let service: MemslotService
    private let server: SocketServer
    private let access: PeerAccess
    private let log: Logger
    private let metricsFile: String?
    private let notification: ServiceNotification
    private let handedOver: HandedOverDescriptors

    /// Takes over what systemd hands over, and brings back what is in the state.
    ///
    /// Fails, with the reason in the log, where the state can't be had.
    init?(
        limits: ServiceLimits, access: PeerAccess, operation: OperationOptions,
        state options: StateOptions
    ) {
        Signals.block()
        metricsFile = operation.metricsFile
        let log = Logger(label: "memslotd") { _ in LineLogHandler(level: operation.level) }
        self.log = log
        notification = ServiceNotification()
        handedOver = HandedOverDescriptors.take()
        let observer = LoggingObserver(log: log)
        do throws(StateError) {
            let descriptors = ServiceDescriptorStore(notification, handedOver)
            let state = try options.directory.map { path throws(StateError) in
                try StateStore(
                    at: path, isSynced: options.isSynced, descriptors: descriptors,
                    observer: StateLog(log: log).note)
            }
            service = MemslotService(limits: limits, state: state)
            try service.restore()
        } catch {
            log.critical("can't have the state", metadata: ["reason": "\(error.message)"])
            LogQueue.standardError.flush()
            return nil
        }
        service.observeTables { observer.note($0, vm: $1, user: $2) }
        server = SocketServer(service, access: access, observer: observer)
        self.access = access
    }

    /// Serves the socket at `path`, the one that systemd hands over, or the standard one.
    ///
    /// - Returns: whether it came to a clean end.
    func serve(_ path: String?) -> Bool {
        let listener: Listener
        do throws(ListeningError) {
            listener = try self.listener(path)
        } catch {
            log.critical("can't listen", metadata: ["reason": "\(error.message)"])
            LogQueue.standardError.flush()
            return false
        }
        begin()
        let isClean = server.run(listener)
        LogQueue.standardError.flush()
        return isClean
    }

    /// Serves whoever is at standard input and output.
    ///
    /// - Returns: whether it came to a clean end.
    func serveStandardIO() -> Bool {
        begin()
        let isClean = server.run(input: STDIN_FILENO, output: STDOUT_FILENO)
        LogQueue.standardError.flush()
        return isClean
    }

    private func listener(_ path: String?) throws(ListeningError) -> Listener {
        if let path { return try Listener(at: SocketPath(path), access: access) }
        if let handedOver = try SocketActivation.listener(handedOver) { return handedOver }
        return try Listener(at: SocketPath.standard(), access: access)
    }

    /// From here on it can be ended, and tells that it works.
    private func begin() {
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
                // systemd will end the service for its silence: this says why.
                log.error("the watchdog has no thread", metadata: ["reason": "\(error)"])
            }
        }
    }
}
