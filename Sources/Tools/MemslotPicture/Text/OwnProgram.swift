internal import Glibc

/// This program and those beside it, and how a message names them.
package enum OwnProgram {
    package static var folder: String {
        let path = realpath("/proc/self/exe", nil)
        defer { free(path) }
        let own = path.map { String(cString: $0) } ?? ""
        return own.lastIndex(of: "/").map { String(own[..<$0]) } ?? "."
    }

    /// The first word that starts the program `name`, in the same way as this one was started.
    package static func word(starting name: String) -> String {
        guard let slash = CommandLine.arguments[0].lastIndex(of: "/") else { return name }
        let path = CommandLine.arguments[0][...slash] + name
        return access(String(path), X_OK) == 0 ? shellWord(String(path)) : name
    }

    /// What to do about a product that is missing beside this program; a build can build it.
    package static func remedy(missing product: String, package: String) -> String {
        // SwiftPM's folders are those of the triple and of the configuration: .build/x86_64-…/debug
        let parts = folder.split(separator: "/", omittingEmptySubsequences: false)
        guard let build = parts.lastIndex(of: ".build"), parts.count > build + 2,
            let configuration = parts.last, ["debug", "release"].contains(configuration)
        else { return "install \(package), or the whole tarball" }
        let root = shellWord(parts[..<build].joined(separator: "/"))
        let scratch = shellWord(parts.dropLast(2).joined(separator: "/"))
        return "build it with: swift build --package-path \(root) --scratch-path \(scratch) "
            + "-c \(configuration) --product \(product)"
    }
}

/// Quotes a word for a shell, if it needs that.
package func shellWord(_ text: String) -> String {
    let plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:+,@%="
    guard text.isEmpty || !text.allSatisfy(plain.contains) else { return text }
    let parts = text.split(separator: "'", omittingEmptySubsequences: false)
    return "'\(parts.joined(separator: "'\\''"))'"
}
