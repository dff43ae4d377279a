import Glibc

/// The descriptors that systemd hands over, as sd_listen_fds_with_names(3) finds them: sockets,
/// and what the daemon before this one had kept.
struct HandedOverDescriptors {
    /// Those without a name of ours.
    private(set) var sockets: [Int32] = []
    /// Those that were kept, by name.
    private(set) var kept: [String: Int32] = [:]

    private static let first: Int32 = 3
    /// More than systemd hands to anybody.
    private static let limit: Int32 = 1 << 20

    /// Takes them over. Call it once: the environment that tells of them is cleared.
    static func take() -> HandedOverDescriptors {
        var all = HandedOverDescriptors()
        guard let process = getenv("LISTEN_PID"), String(cString: process) == String(getpid()),
            let text = getenv("LISTEN_FDS"), let count = Int32(String(cString: text)),
            (1...limit).contains(count)
        else { return all }
        let names = getenv("LISTEN_FDNAMES").map {
            String(cString: $0).split(separator: ":", omittingEmptySubsequences: false)
        }
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) }
        for index in 0..<count {
            let descriptor = first + index
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            let name = names.flatMap { $0.indices.contains(Int(index)) ? $0[Int(index)] : nil }
            guard let name, name.hasPrefix(ServiceDescriptorStore.prefix) else {
                all.sockets.append(descriptor)
                continue
            }
            // The last of a name counts; there are two only if one could not be let go.
            if let other = all.kept.updateValue(descriptor, forKey: String(name)) { close(other) }
        }
        return all
    }
}
