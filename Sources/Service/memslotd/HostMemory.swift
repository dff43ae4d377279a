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
        lines(of: "/proc/self/cgroup").flatMap { line -> [Int] in
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { return [] }
            let isUnified = fields[1].isEmpty
            guard isUnified || fields[1].split(separator: ",").contains("memory") else { return [] }
            let root: Substring = isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            let file: Substring = isUnified ? "memory.max" : "memory.limit_in_bytes"
            let groups = fields[2].split(separator: "/")
            return (0...groups.count).compactMap { depth in
                let path = ([root] + groups.prefix(depth) + [file]).joined(separator: "/")
                // "max", and files that are missing, limit nothing.
                return lines(of: path).first.flatMap { Int($0) }
            }
        }
    }

    /// The first lines of a file of the kernel; none if it can't be read.
    private static func lines(of path: String) -> [Substring] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        let count = read(descriptor, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self).split(separator: "\n")
    }
}
