import Foundation

/// The toolchain's compiler, for code that is not part of the build.
package enum SwiftCompiler {
    /// Type-checks `script` as a `main.swift` outside of this package, in Swift 6 mode with warnings
    /// as errors, against the modules that were built with the tests. The errors are in `errors`.
    package static func typecheck(script: String) throws -> CommandRun.Outcome {
        guard let modules = BuiltProducts.path(of: "Modules") else {
            throw SetUpError("no modules beside the tests")
        }
        let scratch = try ScratchDirectory()
        let file = try scratch.write(script.utf8, to: "main.swift")
        var arguments = ["-typecheck", "-swift-version", "6", "-warnings-as-errors", file]
        arguments += ["-I", modules]
        for map in moduleMaps(above: URL(filePath: modules)) {
            arguments += ["-Xcc", "-fmodule-map-file=\(map)"]
        }
        return try run("swiftc", arguments, in: scratch)
    }

    /// Evaluates the manifest of a package. `status` is not 0 if it does not compile.
    package static func evaluate(manifest: String) throws -> CommandRun.Outcome {
        let scratch = try ScratchDirectory()
        try scratch.write(manifest.utf8, to: "Package.swift")
        return try run(
            "swift", ["package", "dump-package", "--package-path", scratch.path], in: scratch)
    }

    /// The C modules that our modules and their dependencies import.
    private static func moduleMaps(above modules: URL) -> [String] {
        // <scratch>/<platform>/<configuration>/Modules
        let scratch = modules.resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return [Repository.url("Sources"), scratch.appending(path: "checkouts")].flatMap { folder in
            let files = FileManager.default.enumerator(atPath: folder.path)
            return (files?.compactMap { $0 as? String } ?? [])
                .filter { $0.hasSuffix("include/module.modulemap") }
                .map { folder.appending(path: $0).path }
        }
    }

    private static func run(
        _ tool: String, _ arguments: [String], in scratch: ScratchDirectory
    ) throws -> CommandRun.Outcome {
        guard let program = BuiltProducts.tool(tool) else { throw SetUpError("no \(tool)") }
        return try CommandRun(arguments, program: program, in: scratch.path).outcome()
    }
}

/// A test cannot be set up.
package struct SetUpError: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}
