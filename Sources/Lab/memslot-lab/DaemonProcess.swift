import Dispatch
import Glibc
import MemslotPicture
import MemslotService
import MemslotTestKit

/// A `memslotd` with its socket in a temporary directory, which can be killed and started again.
final class DaemonProcess {
    let socket: SocketPath
    /// Milliseconds from the last start until it accepted a connection.
    private(set) var startMilliseconds = 0
    private let directory: String
    private let arguments: [String]
    private let hasLogFile: Bool
    private var process: pid_t = 0
    private var startTime: UInt64 = 0

    /// Creates the directory.
    ///
    /// - Parameters:
    ///   - executable: `nil` for the memslotd beside this program.
    ///   - hasLogFile: whether its log goes to a file, instead of standard error.
    ///   - options: returns its options besides the socket, given the directory.
    init(
        executable: String? = nil, hasLogFile: Bool = false,
        options: (_ directory: String) -> [String]
    ) throws(TargetLost) {
        // A daemon that ends is reported as a lost connection.
        signal(SIGPIPE, SIG_IGN)
        setenv("SWIFT_BACKTRACE", "enable=no", 1)
        var template = Array("/tmp/memslot-lab-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TargetLost("no temporary directory") }
        directory = Self.text(template)
        do throws(ListeningError) { socket = try SocketPath(directory + "/s") } catch {
            throw TargetLost(error.message)
        }
        arguments =
            [executable ?? OwnProgram.folder + "/memslotd", "--socket", directory + "/s"]
            + options(directory)
        self.hasLogFile = hasLogFile
    }

    deinit {
        end(SIGTERM)
        for folder in [directory + "/state", directory] {
            for name in Files.names(in: folder) ?? [] { unlink(folder + "/" + name) }
            rmdir(folder)
        }
    }

    private static func text(_ bytes: [CChar]) -> String {
        String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    func start() throws(TargetLost) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if hasLogFile {
            posix_spawn_file_actions_addopen(
                &actions, 2, directory + "/log", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        }
        var words = arguments.map { strdup($0) } + [nil]
        defer { for text in words { free(text) } }
        startTime = DispatchTime.now().uptimeNanoseconds
        let status = posix_spawn(&process, arguments[0], &actions, nil, &words, environ)
        guard status == 0 else {
            process = 0
            let remedy = OwnProgram.remedy(missing: "memslotd", package: "the package memslots")
            throw TargetLost(
                "\(arguments[0]) can't be started: \(String(cString: strerror(status)))"
                    + (status == ENOENT ? "; \(remedy)" : ""))
        }
    }

    func waitUntilReady() throws(TargetLost) -> ClientConnection {
        for _ in 0..<5_000 {
            do throws(TargetLost) {
                let client = try ClientConnection(socket)
                let span = DispatchTime.now().uptimeNanoseconds - startTime
                startMilliseconds = Int(span / 1_000_000)
                return client
            } catch {
                usleep(2_000)
            }
            if waitpid(process, nil, WNOHANG) == process {
                process = 0
                break
            }
        }
        throw TargetLost("memslotd does not start: \(log)")
    }

    func end(_ signal: Int32) {
        guard process > 0 else { return }
        kill(process, signal)
        while waitpid(process, nil, 0) < 0 && errno == EINTR {}
        process = 0
    }

    /// Files of the state directory that must not exist while it is idle.
    var halfWritten: [String] {
        let names = Files.names(in: directory + "/state") ?? []
        return names.filter { $0.hasSuffix(".new") || $0.hasSuffix(".old") }
    }

    private var log: String {
        let text = Files.text(of: directory + "/log")
        return text.map { String($0.prefix(2_000)) } ?? "see its errors above"
    }
}
