import Glibc

/// An executable that was built beside this one.
enum BuiltProgram {
    /// The path of `memslotd` or `memslotctl`.
    static func path(_ name: String) throws(BenchmarkError) -> String {
        var room = [UInt8](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &room, room.count)
        let own = String(decoding: room.prefix(max(count, 0)), as: UTF8.self)
        let path = own.prefix(through: own.lastIndex(of: "/") ?? own.startIndex) + name
        guard access(String(path), X_OK) == 0 else {
            throw .unavailable("\(name) isn't built: run swift build -c release first")
        }
        return String(path)
    }

    /// Calls `body` with the words of a command line as C takes them.
    static func withArguments<Result>(
        _ words: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var copies: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for copy in copies { free(copy) } }
        return copies.withUnsafeMutableBufferPointer { words in
            guard let base = words.baseAddress else { preconditionFailure("never empty") }
            return body(base)
        }
    }
}
