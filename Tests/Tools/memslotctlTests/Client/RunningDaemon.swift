import CLinux
import Foundation
import Glibc
import MemslotService
import TestSupport

/// The built executables beside the test bundle.
enum Executable {
    static let memslotctl = BuiltProducts.path(of: "memslotctl")
    static let memslotd = BuiltProducts.path(of: "memslotd")
    static var areBuilt: Bool { memslotctl != nil && memslotd != nil }
}

/// What a command did.
struct Outcome {
    let status: Int32
    let output: String
    let errors: String
}

/// The built `memslotd` on a socket of its own, and `memslotctl` against it.
final class RunningDaemon {
    let socket: String
    let directory: String
    private let process = Process()

    /// Starts it, and waits until it says that it is ready.
    init() throws {
        signal(SIGPIPE, SIG_IGN)
        var template = Array("/tmp/memslots-ctl-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TargetLost("no temporary directory") }
        directory = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        socket = directory + "/s"
        let notifications = clinux_datagram_socket()
        defer { close(notifications) }
        _ = clinux_bind(notifications, directory + "/notify")
        process.executableURL = URL(fileURLWithPath: Executable.memslotd ?? "")
        process.arguments = ["--socket", socket]
        // Where coverage is measured, the daemon is to say what it ran, too.
        process.environment = ProcessInfo.processInfo.environment
            .filter { $0.key == "LLVM_PROFILE_FILE" }
            .merging(["NOTIFY_SOCKET": directory + "/notify"]) { $1 }
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        var room = [UInt8](repeating: 0, count: 4_096)
        let count = recv(notifications, &room, room.count, 0)
        guard String(decoding: room.prefix(max(count, 0)), as: UTF8.self).contains("READY=1") else {
            throw TargetLost("the daemon did not become ready")
        }
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Ends it, and waits for the end.
    func stop() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
    }

    /// Writes a file, and tells its path.
    func file(_ name: String, _ text: String) throws -> String {
        let path = directory + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// Runs `memslotctl` against it to its end. Options go before `--`.
    @discardableResult
    func run(_ arguments: String...) throws -> Outcome {
        var all = arguments
        all.insert(contentsOf: ["--socket", socket], at: all.firstIndex(of: "--") ?? all.endIndex)
        return try CommandRun(all, in: directory).outcome()
    }

    /// Starts `memslotctl` against it.
    func start(_ arguments: String...) throws -> CommandRun {
        try CommandRun(arguments + ["--socket", socket], in: directory)
    }
}

/// A `memslotctl` that runs.
final class CommandRun {
    private let process = Process()
    private let output = Pipe()
    private let errorFile: String

    init(_ arguments: [String], in directory: String) throws {
        errorFile = directory + "/" + UUID().uuidString
        _ = FileManager.default.createFile(atPath: errorFile, contents: nil)
        process.executableURL = URL(fileURLWithPath: Executable.memslotctl ?? "")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = FileHandle(forWritingAtPath: errorFile)
        try process.run()
    }

    /// Reads what is printed until `text` has come, or the end.
    func read(until text: String) -> String {
        var all = ""
        while !all.contains(text) {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { break }
            all += String(decoding: data, as: UTF8.self)
        }
        return all
    }

    /// Waits for the end.
    func outcome() throws -> Outcome {
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let errors = FileManager.default.contents(atPath: errorFile) ?? Data()
        return Outcome(
            status: process.terminationStatus, output: String(decoding: bytes, as: UTF8.self),
            errors: String(decoding: errors, as: UTF8.self))
    }
}
