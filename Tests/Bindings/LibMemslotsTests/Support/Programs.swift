import Foundation
import TestSupport
import Testing

/// Programs that are compiled against the built library, as a user's are.
enum Programs {
    static let library = BuiltProducts.path(of: "libmemslots-c.so")
    /// The system's C compiler, or the toolchain's.
    static let compiler = BuiltProducts.tool("cc", "gcc", "clang")

    /// A folder in which the built library has its installed name, beside the compiled programs.
    static let folder: Result<String, any Error> = Result {
        let folder = try scratch.get().path
        try FileManager.default.createSymbolicLink(
            atPath: folder + "/libmemslots.so", withDestinationPath: #require(library))
        return folder
    }
    // Static, because the programs are used until the process ends.
    private static let scratch = Result { try ScratchDirectory() }

    /// Compiles a C program of the repository.
    ///
    /// - Returns: its path.
    static func compile(_ source: String, _ options: [String] = []) throws -> String {
        let folder = try folder.get()
        let program = "\(folder)/\(UUID().uuidString)"
        let (status, output) = try run(
            #require(compiler),
            ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"] + options + [
                "-I", Repository.path("Sources/Bindings/CMemslots/include"),
                Repository.path(source), "-L", folder, "-lmemslots", "-Wl,-rpath,\(folder)",
                "-lpthread", "-o", program,
            ])
        try #require(status == 0, "\(output)")
        return program
    }

    /// Runs a program to its end.
    static func run(
        _ program: String, _ arguments: [String] = []
    ) throws -> (status: Int32, output: String) {
        let outcome = try CommandRun(arguments, program: program, in: folder.get()).outcome()
        return (outcome.status, outcome.output + outcome.errors)
    }
}
