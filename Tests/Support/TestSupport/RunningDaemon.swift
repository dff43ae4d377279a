import CLinux
import Foundation
import Glibc

/// The built programs beside the test bundle.
package enum Executable {
    package static let memslotctl = BuiltProducts.path(of: "memslotctl")
    package static let memslotd = BuiltProducts.path(of: "memslotd")
    package static let memslotLab = BuiltProducts.path(of: "memslot-lab")
    package static var areBuilt: Bool { memslotctl != nil && memslotd != nil }
}

/// A test could not set up what it needs.
package struct SetUpError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// A folder of a test's own in the temporary one; the caller removes it.
package func temporaryFolder(_ name: String) throws -> String {
    var template = Array("/tmp/memslots-\(name)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SetUpError("no temporary directory") }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The built `memslotd` on a socket of its own, and programs that use it.
package final class RunningDaemon {
    package let socket: String
    package let directory: String
    private let process = Process()

    /// Starts it, and waits until it is ready.
    package init() throws {
        signal(SIGPIPE, SIG_IGN)
        directory = try temporaryFolder("ctl")
        socket = directory + "/s"
        let notifications = clinux_datagram_socket()
        defer { close(notifications) }
        _ = clinux_bind(notifications, directory + "/notify")
        process.executableURL = URL(fileURLWithPath: Executable.memslotd ?? "")
        process.arguments = ["--socket", socket]
        // Where coverage is measured, the daemon records what it ran, too.
        process.environment = ProcessInfo.processInfo.environment
            .filter { $0.key == "LLVM_PROFILE_FILE" }
            .merging(["NOTIFY_SOCKET": directory + "/notify"]) { $1 }
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        var room = [UInt8](repeating: 0, count: 4_096)
        let count = recv(notifications, &room, room.count, 0)
        guard String(decoding: room.prefix(max(count, 0)), as: UTF8.self).contains("READY=1") else {
            throw SetUpError("the daemon did not become ready")
        }
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Ends it, and waits for the end.
    package func stop() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
    }

    /// Writes a file into the daemon's folder, and returns its path.
    package func file(_ name: String, _ text: String) throws -> String {
        let path = directory + "/" + name
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// Runs a program against it to its end; `memslotctl` if none is named.
    @discardableResult
    package func run(_ arguments: String..., program: String? = nil) throws -> CommandRun.Outcome {
        // Options go before `--`.
        var all = arguments
        all.insert(contentsOf: ["--socket", socket], at: all.firstIndex(of: "--") ?? all.endIndex)
        return try CommandRun(all, program: program, in: directory).outcome()
    }

    /// Starts `memslotctl` against it.
    package func start(_ arguments: String...) throws -> CommandRun {
        try CommandRun(arguments + ["--socket", socket], in: directory)
    }
}

/// A program that runs, `memslotctl` if none is named.
package final class CommandRun {
    /// What a program has left when it ended.
    package struct Outcome {
        package let status: Int32
        package let output: String
        package let errors: String
    }

    private let process = Process()
    private let output = Pipe()
    private let errorFile: String

    /// Starts it; `directory` receives its errors.
    package init(_ arguments: [String], program: String? = nil, in directory: String) throws {
        errorFile = directory + "/" + UUID().uuidString
        _ = FileManager.default.createFile(atPath: errorFile, contents: nil)
        process.executableURL = URL(fileURLWithPath: program ?? Executable.memslotctl ?? "")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = FileHandle(forWritingAtPath: errorFile)
        try process.run()
    }

    /// Reads the output until it contains `text` or ends.
    package func read(until text: String) -> String {
        var all = ""
        while !all.contains(text) {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { break }
            all += String(decoding: data, as: UTF8.self)
        }
        return all
    }

    /// Waits for the end.
    package func outcome() throws -> Outcome {
        let bytes = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let errors = FileManager.default.contents(atPath: errorFile) ?? Data()
        return Outcome(
            status: process.terminationStatus, output: String(decoding: bytes, as: UTF8.self),
            errors: String(decoding: errors, as: UTF8.self))
    }
}
