import Glibc

/// The memory that this process may have.
enum HostMemory {
    /// Half of what the host or a control group of the process has. Read before it confines itself.
    static let half: Int = {
        let pages = sysconf(Int32(_SC_PHYS_PAGES))
        let host = pages > 0 ? pages * sysconf(Int32(_SC_PAGESIZE)) : .max
        return ([host] + groupLimits).reduce(.max, min) / 2
    }()

    /// The limits of the control group of this process, and of those above it.
    private static var groupLimits: [Int] {
        var limits: [Int] = []
        for line in text(of: "/proc/self/cgroup")?.split(separator: "\n") ?? [] {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isUnified = fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
            let root: Substring = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            let file: Substring = isUnified ? "memory.max" : "memory.limit_in_bytes"
            let groups = fields[2].split(separator: "/")
            for depth in 0...groups.count {
                let path = ([root] + groups.prefix(depth) + [file]).joined(separator: "/")
                // "max", and files that are missing, limit nothing.
                let text = text(of: path)?.split(separator: "\n").first ?? ""
                if let limit = Int(text) { limits.append(limit) }
            }
        }
        return limits
    }

    /// The beginning of a file of the kernel.
    private static func text(of path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        let count = read(descriptor, &bytes, bytes.count)
        return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}
