import CLinux
import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport

/// The built `memslotd` with a state directory, as a process that can be killed at any moment.
final class StateDaemon {
    let identifier: pid_t
    /// Whether it came as far as to serve.
    private(set) var isReady = false
    private let scratch: Scratch
    private let notifications: Int32
    /// What it tells systemd, apart from readiness, with what came along.
    private(set) var messages: [(text: String, descriptors: [Int32])] = []
    private var status: Int32?

    static var executable: String? { BuiltProducts.path(of: "memslotd") }

    /// Starts it, and waits until it serves or has ended.
    ///
    /// - Parameters:
    ///   - shell: put before the command, such as `ulimit -f 1;`.
    ///   - kept: what a descriptor store hands back, by name.
    init(
        _ scratch: Scratch, arguments: [String] = [], environment: [String: String] = [:],
        shell: String = "", kept: [(name: String, descriptor: Int32)] = []
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        self.scratch = scratch
        guard let executable = Self.executable else { throw TargetLost("memslotd is not built") }
        notifications = clinux_datagram_socket()
        unlink(scratch.path + "/notify")
        guard clinux_bind(notifications, scratch.path + "/notify") == 0 else {
            throw TargetLost("no socket for notifications")
        }
        var all = ProcessInfo.processInfo.environment
        all["NOTIFY_SOCKET"] = scratch.path + "/notify"
        all["SWIFT_BACKTRACE"] = "enable=no"
        var prefix = shell
        if !kept.isEmpty {
            all["LISTEN_FDS"] = String(kept.count)
            all["LISTEN_FDNAMES"] = kept.map(\.name).joined(separator: ":")
            prefix += " export LISTEN_PID=$$;"
        }
        identifier = try Self.spawn(
            ["/bin/sh", "-c", prefix + " exec \"$@\"", "sh", executable]
                + ["--socket", scratch.path + "/s", "--state-dir", scratch.state] + arguments,
            all.merging(environment) { _, new in new }, log: scratch.path + "/log",
            descriptors: kept.map(\.descriptor))
        while !isReady, hear() {}
    }

    deinit {
        if status == nil { _ = end(by: SIGKILL) }
        close(notifications)
        for descriptor in messages.flatMap(\.descriptors) { close(descriptor) }
    }

    var log: String {
        String(
            decoding: FileManager.default.contents(atPath: scratch.path + "/log") ?? Data(),
            as: UTF8.self)
    }

    func connect() throws -> ClientConnection {
        try ClientConnection(SocketPath(scratch.path + "/s"))
    }

    /// Waits for a message, or the end; false at the end.
    func hear() -> Bool {
        var entry = pollfd(fd: notifications, events: Int16(POLLIN), revents: 0)
        while poll(&entry, 1, 5) <= 0 {
            if hasEnded, poll(&entry, 1, 0) <= 0 { return false }
        }
        var room = [UInt8](repeating: 0, count: 4_096)
        var descriptors = [Int32](repeating: -1, count: Int(CLINUX_DESCRIPTORS))
        var (count, truncated) = (Int32(0), Int32(0))
        let size = clinux_receive(
            notifications, &room, room.count, &descriptors, &count, &truncated)
        let text = String(decoding: room.prefix(max(size, 0)), as: UTF8.self)
        if text.contains("READY=1") {
            isReady = true
        } else if text.contains("BARRIER=1") {
            // That it is closed is the answer.
            for descriptor in descriptors.prefix(Int(count)) { close(descriptor) }
        } else {
            messages.append((text, Array(descriptors.prefix(Int(count)))))
        }
        return true
    }

    var hasEnded: Bool {
        if status != nil { return true }
        var now: Int32 = 0
        guard waitpid(identifier, &now, WNOHANG) == identifier else { return false }
        status = now
        return true
    }

    /// Sends a signal, and waits for the end.
    ///
    /// - Returns: the status of `waitpid(2)`.
    @discardableResult
    func end(by signal: Int32) -> Int32 {
        if let status { return status }
        kill(identifier, signal)
        return wait()
    }

    /// Waits for the end.
    func wait() -> Int32 {
        if let status { return status }
        var now: Int32 = 0
        while waitpid(identifier, &now, 0) < 0 && errno == EINTR {}
        status = now
        return now
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
        // First out of the way of one another.
        let high = descriptors.map { fcntl($0, F_DUPFD, 100) }
        defer { for descriptor in high { close(descriptor) } }
        for (index, descriptor) in high.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(3 + index))
        }
        // Tests beside this one have files open that are nothing to a daemon that counts its own.
        for descriptor in Int32(3 + high.count)..<1_024 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        var words = arguments.map { strdup($0) } + [nil]
        var names = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + names { free(text) } }
        var identifier: pid_t = 0
        guard posix_spawn(&identifier, "/bin/sh", &actions, nil, &words, &names) == 0 else {
            throw TargetLost("can't be started")
        }
        return identifier
    }
}

/// The library that interrupts a daemon, compiled once.
enum Interruption {
    static let library: String? = {
        let source = Repository.path("Tests/Service/MemslotStateTests/Shim/interrupt.c")
        let library = "/tmp/memslots-interrupt-\(getpid()).so"
        for compiler in ["clang", "cc"] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = [
                compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl",
            ]
            guard (try? process.run()) != nil else { continue }
            process.waitUntilExit()
            if process.terminationStatus == 0 { return library }
        }
        return nil
    }()

    /// The environment that interrupts.
    static func environment(_ variables: [String: String]) -> [String: String] {
        var all = ["LD_PRELOAD": library ?? "/nonexistent"]
        for (name, value) in variables { all["INTERRUPT_\(name)"] = value }
        return all
    }
}
