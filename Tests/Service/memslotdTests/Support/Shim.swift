import Foundation
import Glibc
import TestSupport

/// Libraries in C that are preloaded into a daemon, each compiled once.
enum Shim {
    static let escape = compile("escape")
    static let interrupt = compile("interrupt")
    static let stall = compile("stall")

    private static func compile(_ name: String) -> String? {
        let source = Repository.path("Tests/Service/memslotdTests/Shim/\(name).c")
        let library = "\(folder)/\(name).so"
        guard let compiler = BuiltProducts.tool("clang", "cc") else { return nil }
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: compiler)
        process.arguments = ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"]
        guard (try? process.run()) != nil else { return nil }
        process.waitUntilExit()
        return process.terminationStatus == 0 ? library : nil
    }

    /// A new folder below the temporary one.
    private static let folder: String = {
        var template = Array("/tmp/memslots-shim-XXXXXX".utf8CString)
        mkdtemp(&template)
        return String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()
}
