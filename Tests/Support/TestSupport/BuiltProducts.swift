import Foundation
import Glibc

/// The programs and libraries that were built with the tests, for tests from outside.
package enum BuiltProducts {
    /// Where a product is: beside the tests' own bundle; `nil` where it wasn't built.
    package static func path(of name: String) -> String? {
        var candidates = CommandLine.arguments.filter { $0.contains(".xctest") }
        if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            candidates.append(own)
        }
        return candidates.lazy.compactMap { argument -> String? in
            guard let end = argument.range(of: "/", options: .backwards) else { return nil }
            return argument[..<end.upperBound] + name
        }.first { access($0, R_OK) == 0 }
    }

    /// The first of `names` that is a program on the path.
    package static func tool(_ names: String...) -> String? {
        let folders = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
        return names.lazy.flatMap { name in
            folders.split(separator: ":").map { "\($0)/\(name)" }
        }.first { access($0, X_OK) == 0 }
    }
}
