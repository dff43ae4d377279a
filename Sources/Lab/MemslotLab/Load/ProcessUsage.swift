internal import Glibc

/// What a process holds, as /proc tells it.
package struct ProcessUsage: Hashable, Sendable {
    /// Resident memory, in bytes.
    package var memory: UInt64
    /// Open descriptors.
    package var descriptors: Int
    /// Threads.
    package var threads: Int

    /// Looks at `process`; `nil` where that is not permitted, or the process not on this machine.
    package init?(of process: Int32) {
        guard let status = Self.status(of: process),
            let descriptors = Self.descriptors(of: process)
        else { return nil }
        memory = (status["VmRSS"] ?? 0) * 1_024
        threads = Int(status["Threads"] ?? 0)
        self.descriptors = descriptors
    }

    private static func status(of process: Int32) -> [Substring: UInt64]? {
        guard let file = fopen("/proc/\(process)/status", "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        let count = fread(&bytes, 1, bytes.count, file)
        var values: [Substring: UInt64] = [:]
        for line in String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n") {
            let words = line.split { $0 == ":" || $0 == "\t" || $0 == " " }
            if words.count >= 2, let value = UInt64(words[1]) { values[words[0]] = value }
        }
        return values
    }

    private static func descriptors(of process: Int32) -> Int? {
        guard let directory = opendir("/proc/\(process)/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        // Without "." and "..".
        return count - 2
    }
}
