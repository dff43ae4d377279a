internal import Dispatch
package import Glibc
import MemslotPicture
package import MemslotService
internal import MemslotTestKit

/// A program with its socket in a temporary directory, which can be killed and started again.
package final class DaemonProcess {
    package let socket: SocketPath
    package let directory: String
    /// Nanoseconds from the last start until it accepted a connection.
    package private(set) var startTime: UInt64 = 0
    /// Its id; 0 while it does not run.
    package private(set) var process: pid_t = 0
    /// What ends it with this object.
    var lastSignal = SIGTERM
    private let arguments: [String]
    private let hasLogFile: Bool
    private var begin: UInt64 = 0

    /// Creates the directory. `executable` is by default the memslotd beside this program. It gets
    /// the socket by the options `names`; with none, `options`, given the directory, has it, as
    /// `s`. `hasLogFile`: its log goes to a file, instead of standard error.
    package init(
        executable: String? = nil, hasLogFile: Bool = false, names: [String] = ["--socket"],
        options: (_ directory: String) -> [String] = { _ in [] }
    ) throws(TargetLost) {
        // A daemon that ends is reported as a lost connection.
        signal(SIGPIPE, SIG_IGN)
        setenv("SWIFT_BACKTRACE", "enable=no", 1)
        // The path of a socket is limited to 107 bytes, so that TMPDIR may be too long.
        var template = Array("/tmp/memslotd-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TargetLost("no temporary directory") }
        directory = String(
            decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        let path = directory + "/s"
        do throws(ListeningError) { socket = try SocketPath(path) } catch {
            throw TargetLost(error.message)
        }
        arguments =
            [executable ?? OwnProgram.folder + "/memslotd"]
            + names.flatMap { [$0, path] } + options(directory)
        self.hasLogFile = hasLogFile
    }

    deinit {
        end(lastSignal)
        for folder in [directory + "/state", directory] {
            for name in Files.names(in: folder) ?? [] { unlink(folder + "/" + name) }
            rmdir(folder)
        }
    }

    package func start() throws(TargetLost) {
        begin = DispatchTime.now().uptimeNanoseconds
        process = try BuiltProgram.start(arguments, output: hasLogFile ? directory + "/log" : nil)
    }

    package func waitUntilReady() throws(TargetLost) -> ClientConnection {
        for _ in 0..<100_000 {
            do throws(TargetLost) {
                let client = try ClientConnection(socket)
                startTime = DispatchTime.now().uptimeNanoseconds - begin
                return client
            } catch { usleep(50) }
            if waitpid(process, nil, WNOHANG) == process {
                process = 0
                break
            }
        }
        let log = Files.text(of: directory + "/log").map { String($0.prefix(2_000)) }
        throw TargetLost("\(arguments[0]) does not start: \(log ?? "see its errors above")")
    }

    package func end(_ signal: Int32) {
        guard process > 0 else { return }
        kill(process, signal)
        BuiltProgram.wait(for: process)
        process = 0
    }

    /// Files of the state directory that must not exist while it is idle.
    package var halfWritten: [String] {
        let names = Files.names(in: directory + "/state") ?? []
        return names.filter { $0.hasSuffix(".new") || $0.hasSuffix(".old") }
    }
}

/// The programs that are built beside this one, as child processes.
package enum BuiltProgram {
    /// Starts a program, with the file `output` for its output and errors if given. Returns its id.
    package static func start(_ words: [String], output: String?) throws(TargetLost) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let output {
            posix_spawn_file_actions_addopen(
                &actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            posix_spawn_file_actions_adddup2(&actions, 1, 2)
        }
        var arguments = words.map { strdup($0) } + [nil]
        defer { for text in arguments { free(text) } }
        var process: pid_t = 0
        let status = posix_spawn(&process, words[0], &actions, nil, &arguments, environ)
        guard status == 0 else {
            let remedy = OwnProgram.remedy(missing: "memslotd", package: "the package memslots")
            throw TargetLost(
                "\(words[0]) can't be started: \(String(cString: strerror(status)))"
                    + (status == ENOENT ? "; \(remedy)" : ""))
        }
        return process
    }

    /// Waits for the end of a child process; returns whether it exited with 0.
    @discardableResult
    package static func wait(for process: pid_t) -> Bool {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 { if errno != EINTR { return false } }
        return status == 0
    }
}
