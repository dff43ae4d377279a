import CLinux
import Foundation
package import Glibc
package import MemslotService
package import TestSupport
import Testing

/// The built `memslotd`, as a process that can be killed at any moment.
package final class DaemonProcess {
    /// A message to systemd, with the descriptors that it carried.
    package typealias Message = (text: String, descriptors: [Int32])

    /// The built executable; `nil` where it was not built.
    package static var executable: String? { Executable.memslotd }

    package let directory: ScratchDirectory
    package let socketPath: SocketPath
    /// The socket's path as a string.
    package var socket: String { socketPath.path }
    package let processID: pid_t
    /// A Boolean value that indicates whether the daemon has started to serve.
    package private(set) var isReady = false
    /// The messages to systemd that were received so far, except for readiness and barriers.
    package private(set) var messages: [Message] = []
    private let notifications: Int32
    private var status: Int32?

    /// Starts the daemon, and waits until it serves or has ended.
    ///
    /// - Parameters:
    ///   - directory: contains the socket, the log and systemd's socket; a new one if `nil`.
    ///   - shell: commands that a shell executes first, such as `ulimit -n 30;`.
    ///   - stored: the descriptors that systemd's descriptor store passes, by name.
    package init(
        in directory: ScratchDirectory? = nil, arguments: [String] = [],
        environment: [String: String] = [:], shell: String = "",
        stored: [(name: String, descriptor: Int32)] = []
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        let directory = try directory ?? ScratchDirectory()
        self.directory = directory
        socketPath = try SocketPath(directory.path("s"))
        guard let executable = Self.executable else { throw TargetLost("memslotd is not built") }
        notifications = clinux_datagram_socket()
        unlink(directory.path("notify"))
        guard clinux_bind(notifications, directory.path("notify")) == 0 else {
            throw TargetLost("no socket for notifications")
        }
        // A daemon of another user may write to it too.
        chmod(directory.path("notify"), 0o666)
        var variables = ProcessInfo.processInfo.environment
        variables["NOTIFY_SOCKET"] = directory.path("notify")
        variables["SWIFT_BACKTRACE"] = "enable=no"
        var prefix = shell
        if !stored.isEmpty {
            variables["LISTEN_FDS"] = String(stored.count)
            variables["LISTEN_FDNAMES"] = stored.map(\.name).joined(separator: ":")
            prefix += " export LISTEN_PID=$$;"
        }
        processID = try Self.spawn(
            ["/bin/sh", "-c", prefix + " exec \"$@\"", "sh", executable]
                + ["--socket", socketPath.path] + arguments
                // A call that the list of calls lacks ends the daemon, and the test fails.
                + (arguments.contains { $0.contains("sandbox") } ? [] : ["--sandbox", "strict"]),
            variables.merging(environment) { _, new in new }, log: directory.path("log"),
            descriptors: stored.map(\.descriptor))
        while !isReady, receiveMessage() {}
    }

    deinit {
        if status == nil { end(by: SIGKILL) }
        close(notifications)
        for descriptor in messages.flatMap(\.descriptors) { close(descriptor) }
    }

    /// What the daemon has logged.
    package var log: String {
        let bytes = FileManager.default.contents(atPath: directory.path("log")) ?? Data()
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Connects to the daemon.
    ///
    /// - Throws: the daemon's log, if it does not serve.
    package func connect() throws -> ClientConnection {
        guard isReady else { throw TargetLost("memslotd does not serve: \(log)") }
        return try ClientConnection(socketPath)
    }

    /// Waits for the next message to systemd, except for readiness and barriers.
    ///
    /// - Returns: its text; `nil` if the daemon ended without another one.
    package func nextMessage() -> String? {
        let count = messages.count
        while messages.count == count {
            guard receiveMessage() else { return nil }
        }
        return messages.last?.text
    }

    /// Waits for a message to systemd of any kind, or for the daemon's end.
    ///
    /// - Returns: `false` at the end.
    @discardableResult
    package func receiveMessage() -> Bool {
        var entry = pollfd(fd: notifications, events: Int16(POLLIN), revents: 0)
        let limit = ContinuousClock.now + .seconds(300)
        while poll(&entry, 1, 5) <= 0 {
            if hasEnded, poll(&entry, 1, 0) <= 0 { return false }
            if ContinuousClock.now > limit {
                Issue.record("memslotd has sent nothing for five minutes: \(log)")
                return false
            }
        }
        var buffer = [UInt8](repeating: 0, count: 4_096)
        var descriptors = [Int32](repeating: -1, count: Int(CLINUX_DESCRIPTORS))
        var (count, truncated) = (Int32(0), Int32(0))
        let size = clinux_receive(
            notifications, &buffer, buffer.count, &descriptors, &count, &truncated)
        let text = String(decoding: buffer.prefix(max(size, 0)), as: UTF8.self)
        if text.contains("READY=1") {
            isReady = true
        } else if text.contains("BARRIER=1") {
            // The daemon waits until its barrier is closed.
            for descriptor in descriptors.prefix(Int(count)) { close(descriptor) }
        } else {
            messages.append((text, Array(descriptors.prefix(Int(count)))))
        }
        return true
    }

    private var hasEnded: Bool {
        if status != nil { return true }
        var now: Int32 = 0
        guard waitpid(processID, &now, WNOHANG) == processID else { return false }
        status = now
        return true
    }

    /// Sends a signal, and waits for the end.
    ///
    /// - Returns: the exit status, as ``waitForEnd()``.
    @discardableResult
    package func end(by signal: Int32) -> Int32 {
        if status == nil { kill(processID, signal) }
        return waitForEnd()
    }

    /// Waits for the end.
    ///
    /// - Returns: the exit status; the negated number of the signal that ended the daemon.
    package func waitForEnd() -> Int32 {
        if status == nil {
            let limit = ContinuousClock.now + .seconds(300)
            while !hasEnded {
                if ContinuousClock.now > limit {
                    Issue.record("killed: memslotd has not ended in five minutes: \(log)")
                    kill(processID, SIGKILL)
                }
                usleep(500)
            }
        }
        let status = status ?? 0
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
    }

    private static func spawn(
        _ arguments: [String], _ environment: [String: String], log: String,
        descriptors: [Int32]
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Copies with high numbers, so that no descriptor replaces another one.
        let high = descriptors.map { fcntl($0, F_DUPFD, 100) }
        defer { for descriptor in high { close(descriptor) } }
        for (index, descriptor) in high.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(3 + index))
        }
        // The daemon must not inherit what other tests have open: a test counts its descriptors.
        for descriptor in Int32(3 + high.count)..<1_024 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        var words = arguments.map { strdup($0) } + [nil]
        var names = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + names { free(text) } }
        var processID: pid_t = 0
        guard posix_spawn(&processID, "/bin/sh", &actions, nil, &words, &names) == 0 else {
            throw TargetLost("can't start \(arguments)")
        }
        return processID
    }
}

// MARK: Programs that use the daemon
extension DaemonProcess {
    /// Runs a program against the daemon to its end; `memslotctl` if none is named.
    @discardableResult
    package func run(_ arguments: String..., program: String? = nil) throws -> CommandRun.Outcome {
        try CommandRun(withSocket(arguments), program: program, in: directory.path).outcome()
    }

    /// Starts `memslotctl` against the daemon.
    package func start(_ arguments: String...) throws -> CommandRun {
        try CommandRun(withSocket(arguments), in: directory.path)
    }

    /// Writes a file into the daemon's directory, and returns its path.
    package func file(_ name: String, _ text: String) throws -> String {
        try directory.write(text.utf8, to: name)
    }

    /// Adds `--socket`, before `--` if there is one.
    private func withSocket(_ arguments: [String]) -> [String] {
        var all = arguments
        let end = all.firstIndex(of: "--") ?? all.endIndex
        all.insert(contentsOf: ["--socket", socket], at: end)
        return all
    }
}
