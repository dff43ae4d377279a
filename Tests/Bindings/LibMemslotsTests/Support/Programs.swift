import Foundation
import TestSupport
import Testing

/// Programs that are compiled against the built library, as a user's would be.
enum Programs {
    static let root = Repository.root()

    static let library = BuiltProducts.path(of: "libmemslots-c.so").map { URL(fileURLWithPath: $0) }
    static var libraryIsBuilt: Bool { library != nil }

    /// A folder in which the built library has its installed name.
    static let installed: Result<URL, any Error> = Result {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "memslots-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            at: folder.appending(path: "libmemslots.so"),
            withDestinationURL: #require(library))
        return folder
    }

    static func tool(_ names: String...) -> URL? {
        names.lazy.compactMap { BuiltProducts.tool($0) }.first.map { URL(fileURLWithPath: $0) }
    }

    /// The system's C compiler, else the toolchain's.
    static let compiler = tool("cc", "gcc", "clang")

    /// Compiles a C program; gives where it is.
    static func compile(_ source: String, _ options: [String] = []) throws -> URL {
        let libraries = try installed.get()
        let compiler = try #require(compiler)
        let program = FileManager.default.temporaryDirectory
            .appending(path: "memslots-\(UUID().uuidString)")
        let made = try run(
            compiler,
            ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"] + options + [
                "-I", root.appending(path: "Sources/Bindings/CMemslots/include").path,
                root.appending(path: source).path, "-L", libraries.path, "-lmemslots",
                "-Wl,-rpath,\(libraries.path)", "-lpthread", "-o", program.path,
            ])
        try #require(made.status == 0, "\(made.output)")
        return program
    }

    /// Runs a program to its end.
    static func run(
        _ program: URL, _ arguments: [String] = [], environment: [String: String] = [:]
    ) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(
            decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }
}
