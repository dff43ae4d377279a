import Glibc
import MemslotService

/// A memslotd that is started for one command, from beside this executable.
final class OwnDaemon {
    /// Where it listens.
    let socket: String
    private let directory: String
    private let process: pid_t

    /// Starts it, and waits until it listens.
    init(connections: Int, vms: Int) throws(TargetLost) {
        var name = [CChar](repeating: 0, count: 4_096)
        guard readlink("/proc/self/exe", &name, name.count - 1) > 0 else {
            throw TargetLost("this executable has no place: \(String(cString: strerror(errno)))")
        }
        let own = String(
            decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let folder = own.lastIndex(of: "/").map { own[..<$0] } ?? "."
        var template = Array("/tmp/memslots-load-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TargetLost("no temporary directory") }
        directory = String(
            decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        socket = directory + "/s"
        let words = [
            "\(folder)/memslotd", "--socket", socket, "--log-level", "error",
            "--max-connections", "\(max(connections + 8, 256))", "--max-vms", "\(max(vms, 1_024))",
        ]
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process = pid_t()
        let status = posix_spawn(&process, words[0], nil, nil, &arguments, environ)
        guard status == 0 else {
            rmdir(directory)
            throw TargetLost("\(words[0]) can't be started: \(String(cString: strerror(status)))")
        }
        self.process = process
        try waitUntilItListens()
    }

    deinit {
        kill(process, SIGTERM)
        waitpid(process, nil, 0)
        for name in [socket, socket + ".lock"] { unlink(name) }
        rmdir(directory)
    }

    private func waitUntilItListens() throws(TargetLost) {
        for _ in 0..<1_000 {
            if access(socket, F_OK) == 0 { return }
            guard waitpid(process, nil, WNOHANG) == 0 else { break }
            usleep(10_000)
        }
        throw TargetLost("memslotd did not come up")
    }
}
