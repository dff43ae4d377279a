import Foundation

/// The built programs beside the test bundle.
package enum Executable {
    package static let memslotctl = BuiltProducts.path(of: "memslotctl")
    package static let memslotd = BuiltProducts.path(of: "memslotd")
    package static let memslotLab = BuiltProducts.path(of: "memslot-lab")
    package static var areBuilt: Bool { memslotctl != nil && memslotd != nil }
}

/// A program that runs, `memslotctl` if none is named.
package final class CommandRun {
    /// What a program has left when it ended.
    package struct Outcome {
        package let status: Int32
        package let output: String
        package let errors: String
    }

    private let process = ChildProcess()
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
