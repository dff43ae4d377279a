import CYardsticks
import Glibc

/// `memslotd` as a process of its own, with a socket in a folder of its own.
final class RunningDaemon {
    let process: Int32
    let path: String
    /// From its start until a connection was taken, in nanoseconds.
    let startTime: Double
    private let directory: String

    private static let patience: UInt64 = 10_000_000_000

    init() throws(BenchmarkError) {
        let program = try BuiltProgram.path("memslotd")
        // A socket's path has room for 107 bytes, which that of another temporary folder may take up.
        var template = Array("/tmp/memslot-bench.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw .broken("no folder for a socket") }
        directory = String(
            decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = directory + "/s"
        let start = ys_now()
        process = BuiltProgram.withArguments([program, "--socket", path]) { ys_start(program, $0) }
        guard process > 0 else { throw .broken("memslotd can't be started") }
        while true {
            let socket = ys_connect(path)
            if socket >= 0 {
                startTime = Double(ys_now() - start)
                close(socket)
                return
            }
            guard ys_is_running(process) != 0 else { throw .broken("memslotd has ended at once") }
            guard ys_now() - start < Self.patience else { throw .broken("memslotd never listens") }
            usleep(50)
        }
    }

    deinit {
        _ = ys_end(process)
        unlink(path)
        unlink(path + ".lock")
        rmdir(directory)
    }

    func connect() throws(BenchmarkError) -> DaemonConnection {
        let socket = ys_connect(path)
        guard socket >= 0 else { throw .broken("memslotd takes no connection") }
        return DaemonConnection(socket)
    }

    /// A line of `/proc/PID/status`, such as `VmRSS`, in bytes.
    func memory(_ name: String) throws(BenchmarkError) -> Double {
        let lines = SmallFile.read("/proc/\(process)/status")?.split(separator: "\n") ?? []
        guard let line = lines.first(where: { $0.hasPrefix(name + ":") }),
            let kilobytes = line.split(whereSeparator: { " \t".contains($0) }).dropFirst().first,
            let count = Double(kilobytes)
        else { throw .broken("no \(name) of memslotd") }
        return count * 1_024
    }
}

/// A connection to the daemon, driven by the same C that drives the echo server.
final class DaemonConnection {
    let socket: Int32
    private var answer = [UInt8](repeating: 0, count: 8 << 20)

    init(_ socket: Int32) { self.socket = socket }

    deinit { close(socket) }

    /// Sends a line, and reads the answer.
    @discardableResult
    func exchange(_ line: [UInt8]) throws(BenchmarkError) -> ArraySlice<UInt8> {
        let count = ys_exchange(socket, line, line.count, &answer, answer.count)
        guard count >= 0 else { throw .broken("memslotd doesn't answer: errno \(-count)") }
        return answer[..<Int(count)]
    }

    /// As ``exchange(_:)``; what isn't a result is no good.
    func ask(_ line: [UInt8]) throws(BenchmarkError) {
        let answer = try exchange(line)
        // Looked at in one place, so that it costs nothing beside a commit.
        guard answer.prefix(Self.begin.count).elementsEqual(Self.begin) else {
            throw .broken("memslotd says " + String(decoding: answer.prefix(300), as: UTF8.self))
        }
    }

    private static let begin = Array("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":".utf8)
}
