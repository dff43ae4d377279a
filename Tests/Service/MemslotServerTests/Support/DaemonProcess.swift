import CLinux
import Foundation
import Glibc
import MemslotService
import TestSupport

/// The built `memslotd`, as a process of its own.
final class DaemonProcess {
    let process = Process()
    let path: SocketPath
    private let directory: String
    private let notifications: Int32

    /// The executable that was built with these tests.
    static var executable: String? { BuiltProducts.path(of: "memslotd") }

    /// Starts it, and waits until it says that it is ready.
    ///
    /// - Parameter shell: put before the command, such as `ulimit -n 30;`.
    init(
        at path: SocketPath? = nil, arguments: [String] = [], shell: String = "",
        environment: [String: String] = [:]
    ) throws {
        signal(SIGPIPE, SIG_IGN)
        directory = try TemporaryDirectory.make()
        self.path = try path ?? SocketPath(directory + "/s")
        notifications = clinux_datagram_socket()
        _ = clinux_bind(notifications, directory + "/notify")
        guard let executable = Self.executable else { throw TargetLost("memslotd is not built") }
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments =
            ["-c", shell + " exec \"$@\"", "sh", executable, "--socket", self.path.path] + arguments
        var all = ProcessInfo.processInfo.environment
        all["NOTIFY_SOCKET"] = directory + "/notify"
        all["SWIFT_BACKTRACE"] = "enable=no"
        process.environment = all.merging(environment) { _, new in new }
        let log = directory + "/log"
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        process.standardError = FileHandle(forWritingAtPath: log)
        process.standardOutput = FileHandle(forWritingAtPath: log)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        guard nextNotification().contains("READY=1") else {
            throw TargetLost("not ready: \(self.log)")
        }
    }

    deinit {
        if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        close(notifications)
        try? FileManager.default.removeItem(atPath: directory)
    }

    var log: String {
        String(
            decoding: FileManager.default.contents(atPath: directory + "/log") ?? Data(),
            as: UTF8.self)
    }

    /// The next thing that it tells systemd.
    func nextNotification() -> String {
        var room = [UInt8](repeating: 0, count: 4_096)
        let count = recv(notifications, &room, room.count, 0)
        return String(decoding: room.prefix(max(count, 0)), as: UTF8.self)
    }

    /// Sends a signal, and waits for the end.
    func end(by signal: Int32) -> Int32 {
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
        return process.terminationStatus
    }

    func connect() throws -> ClientConnection { try ClientConnection(path) }
}
