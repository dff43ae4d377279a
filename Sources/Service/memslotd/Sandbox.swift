import CLinux
import Glibc
import MemslotService
import Memslots

/// What the daemon forbids itself: new privileges, files by Landlock, and calls by seccomp.
struct Sandbox {
    /// `nil` for none.
    let mode: Confinement?

    /// A file or a directory that the daemon uses, and how: one of `CLINUX_USE_…`.
    typealias Use = (path: String, rights: Int32)

    /// What a daemon with these options uses, without a socket for `nil`. Creates what must exist
    /// before it is confined. Throws if it will not be able to listen.
    static func uses(
        socket: SocketOptions?, state: String?, metricsFile: String?
    ) throws(SandboxError) -> [Use] {
        var uses: [Use] = [("/dev/kvm", CLINUX_USE_DEVICE), ("/dev/null", CLINUX_USE_FILE)]
        if let socket {
            let (directory, lock) = try converting(
                { (error: ListeningError) in
                    SandboxError(message: "can't listen: \(error.message)")
                }, socket.path.prepare(for: socket.access))
            uses += [(directory, CLINUX_USE_SOCKET), (lock, CLINUX_USE_FILE)]
        }
        if let state {
            // A failure is reported when the directory is opened.
            mkdir(state, 0o700)
            uses.append((state, CLINUX_USE_FILES))
        }
        if let metricsFile {
            uses.append((SocketPath.directory(of: metricsFile), CLINUX_USE_OUTPUT))
        }
        if let coverage = clinux_coverage_directory() {
            uses.append((String(cString: coverage), CLINUX_USE_FILES))
            free(coverage)
        }
        return uses
    }

    /// Confines this thread, and all that it starts, to `uses`. Call it before the first thread:
    /// Landlock binds none that runs. Returns what the kernel lacks, for the log, or throws.
    func confineFiles(to uses: [Use]) throws(SandboxError) -> [String] {
        guard mode != nil else { return ["--no-sandbox: the daemon may make any call"] }
        try Self.check(clinux_no_new_privileges(), "no_new_privs")
        let rules = clinux_landlock_begin()
        // The kernel has none, was started without it, or a container's filter forbids it.
        if [-ENOSYS, -EOPNOTSUPP, -EPERM].contains(rules) {
            return ["there is no Landlock here: the daemon may open any file that its user may"]
        }
        guard rules >= 0 else { throw SandboxError("Landlock", -rules) }
        let notes = uses.compactMap { use -> String? in
            let status = clinux_landlock_allow(rules, use.path, use.rights)
            // Then it is only forbidden, which its own error reports when it is opened.
            guard status != 0 else { return nil }
            let reason = Errno(rawValue: -status)
            return "\(use.path): \(reason): the daemon can't open it later either"
        }
        try Self.check(clinux_landlock_enforce(rules), "Landlock")
        return notes
    }

    /// Confines all threads to a daemon's calls. Returns what the kernel lacks; throws if strict.
    func confineCalls() throws(SandboxError) -> [String] {
        guard let mode else { return [] }
        let status = clinux_filter_calls(CLINUX_SERVES, mode == .strict ? 1 : 0)
        guard status != 0 else { return [] }
        let failure = SandboxError("seccomp", -status)
        guard mode == .standard else { throw failure }
        return [failure.message]
    }

    private static func check(_ status: Int32, _ what: String) throws(SandboxError) {
        guard status == 0 else { throw SandboxError(what, -status) }
    }
}

struct SandboxError: Error {
    let message: String

    init(message: String) { self.message = message }

    init(_ what: String, _ errno: Int32) {
        message =
            "\(what): the daemon can't be confined: \(Errno(rawValue: errno)); "
            + "--no-sandbox runs it without"
    }
}
