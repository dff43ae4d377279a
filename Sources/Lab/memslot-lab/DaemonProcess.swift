import Dispatch
import Glibc
import MemslotService

/// A `memslotd` in a directory of its own, started and killed again and again.
final class CrashedDaemon: Sendable {
    let socket: SocketPath
    /// How long the last start took.
    var startMilliseconds: Int { Int((ready.value - begun.value) / 1_000_000) }
    private let directory: String
    private let arguments: [String]
    private let process = Box<pid_t>(0)
    private let begun = Box<UInt64>(0)
    private let ready = Box<UInt64>(0)

    /// A value that the command's own thread alone looks at.
    private final class Box<Value>: @unchecked Sendable {
        var value: Value

        init(_ value: Value) { self.value = value }
    }

    /// Prepares a directory.
    ///
    /// - Parameter executable: `nil` for the memslotd beside this program.
    init(executable: String?, keepsState: Bool, isSynced: Bool) throws(TargetLost) {
        signal(SIGPIPE, SIG_IGN)
        var template = Array("/tmp/memslots-crash-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TargetLost("no temporary directory") }
        directory = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        do throws(ListeningError) { socket = try SocketPath(directory + "/s") } catch {
            throw TargetLost(error.message)
        }
        var arguments = [executable ?? Self.neighbour, "--socket", directory + "/s"]
        arguments += ["--log-level", "notice"]
        if keepsState { arguments += ["--state-dir", directory + "/state"] }
        if keepsState && isSynced { arguments.append("--state-sync") }
        self.arguments = arguments
    }

    private static var neighbour: String {
        var path = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        let own = String(
            decoding: path.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)]) + "/memslotd"
    }

    /// Starts it, and does not wait.
    func start() throws(TargetLost) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(
            &actions, 2, directory + "/log", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var words = arguments.map { strdup($0) } + [nil]
        let environment = ["SWIFT_BACKTRACE=enable=no"]
        var names = environment.map { strdup($0) } + [nil]
        defer { for text in words + names { free(text) } }
        guard let executable = words[0] else { throw TargetLost("no memory") }
        begun.value = DispatchTime.now().uptimeNanoseconds
        let status = posix_spawn(&process.value, executable, &actions, nil, &words, &names)
        guard status == 0 else {
            throw TargetLost(
                "\(arguments[0]): can't be started: \(String(cString: strerror(status)))")
        }
    }

    /// Waits until it takes connections.
    func waitUntilReady() throws(TargetLost) -> ClientConnection {
        for _ in 0..<5_000 {
            do throws(TargetLost) {
                let client = try ClientConnection(socket)
                ready.value = DispatchTime.now().uptimeNanoseconds
                return client
            } catch {
                usleep(2_000)
            }
            var status: Int32 = 0
            if waitpid(process.value, &status, WNOHANG) == process.value {
                process.value = 0
                break
            }
        }
        throw TargetLost("memslotd does not come up: \(log)")
    }

    /// Kills it, and waits for the end.
    func kill() {
        guard process.value > 0 else { return }
        Glibc.kill(process.value, SIGKILL)
        var status: Int32 = 0
        while waitpid(process.value, &status, 0) < 0 && errno == EINTR {}
        process.value = 0
    }

    /// The files of the state that should not be there while it serves and nothing is under way.
    var halfWritten: [String] {
        Self.names(in: directory + "/state").filter { $0.hasSuffix(".new") || $0.hasSuffix(".old") }
    }

    private static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            names.append(name)
        }
        return names
    }

    /// Ends it, and removes all that it left.
    func cleanUp() {
        kill()
        for folder in [directory + "/state", directory] {
            for name in Self.names(in: folder) { unlink(folder + "/" + name) }
            rmdir(folder)
        }
    }

    private var log: String {
        guard let file = fopen(directory + "/log", "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 2_000)
        return String(decoding: bytes.prefix(fread(&bytes, 1, bytes.count, file)), as: UTF8.self)
    }
}

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
