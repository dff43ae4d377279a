import CRunRecord
import Glibc
import MemslotPicture
import Memslots

/// A run whose process does not stay in front of the VMM.
///
/// A VMM may go into the background by itself, as QEMU does with `-daemonize`. Who started it waits
/// for the process that it started. So that one ends when the VMM's does, with its status, and
/// another one follows the VMM to its end. Or the process that was started becomes the VMM, so that
/// a supervisor's signals and figures are about the VMM itself.
struct BackgroundRun {
    private let pipe: Int32
    /// The process that becomes the VMM, as a pidfd.
    private var vmm: Int32 = -1

    static func isWanted(by command: [String]) -> Bool { command.contains("-daemonize") }

    /// Returns in the process that follows the run; the calling process waits for it and exits.
    init(ignoring ignored: [Int], _ inherited: InheritedDescriptors) throws(RunFailure) {
        let (process, ends) = try Self.fork()
        if process > 0 {
            close(ends[1])
            inherited.close()
            Self.wait(for: process, reading: ends[0], ignored)
        }
        close(ends[0])
        pipe = ends[1]
    }

    /// Returns in the process that follows the run; the calling process becomes the VMM.
    init(becoming path: String, _ inherited: InheritedDescriptors) throws(RunFailure) {
        let starter = getpid()
        let (child, ends) = try Self.fork()
        if child > 0 {
            close(ends[1])
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            Self.become(path, readingEnvironmentFrom: ends[0])
        }
        // The VMM does not expect a child. It waits for the pipe, so it is there.
        let follower = crun_fork()
        if follower > 0 { _exit(0) }
        guard follower == 0 else { throw .last("no process to follow the VMM") }
        inherited.close()
        vmm = crun_open_process(starter)
        close(ends[0])
        pipe = ends[1]
        // What ends a supervisor's unit may come before the report is written.
        for number in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] { signal(number, SIG_IGN) }
        guard vmm >= 0 else { throw .last("no pidfd") }
    }

    /// Starts another process: its number, 0 in itself; and a pipe from it.
    private static func fork() throws(RunFailure) -> (process: pid_t, ends: [Int32]) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw .last("no pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let process = crun_fork()
        guard process >= 0 else { throw .last("no process for the background") }
        return (process, ends)
    }

    private static func become(_ path: String, readingEnvironmentFrom pipe: Int32) -> Never {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = read(pipe, &buffer, buffer.count), count != 0 {
            if count > 0 { bytes += buffer[..<count] } else if errno != EINTR { break }
        }
        // Otherwise the other process has ended, and has printed why unless it was killed. The VMM
        // must not run without the last variables.
        let variables = bytes.split(separator: 0).map { Array($0) }
        guard bytes.last == 0, variables.last?.starts(with: "\(CRUN_VARIABLE)=".utf8) == true
        else { exit(2) }
        var words = ChildProgram.words
        var environment = ChildProgram.variables(variables)
        execve(path, &words, &environment)
        Terminal.complain("memslotctl run: \(path) can't be run: \(Errno(rawValue: errno))")
        exit(2)
    }

    /// Lets the VMM begin, and waits for its end. Only its parent knows its exit status.
    func followVMM(in environment: [[UInt8]]) {
        // If nobody reads it, the process that would become the VMM has been killed.
        try? writeAll(Array(environment.map { $0 + [0] }.joined()), to: pipe)
        close(pipe)
        leaveTerminal()
        waitForEnd(ofProcess: vmm)
    }

    var isInPlace: Bool { vmm >= 0 }

    /// Waits for the VMM's status, or for the end of the process that would send it.
    private static func wait(for process: pid_t, reading pipe: Int32, _ ignored: [Int]) -> Never {
        for number in [SIGINT, SIGQUIT] { signal(number, SIG_IGN) }
        ForwardedSignals.begin(to: process, except: ignored)
        var status: Int32 = 0
        var count = -1
        repeat { count = read(pipe, &status, 4) } while count < 0 && errno == EINTR
        if count == 4 { exit(status) }
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        exit(ChildProgram.exitStatus(status))
    }

    /// Lets the process that was started exit, and stays without its terminal and its streams.
    func leave(_ status: Int32) {
        var status = status
        // If nobody reads it, the process that was started has been killed.
        _ = write(pipe, &status, 4)
        close(pipe)
        leaveTerminal()
    }

    private func leaveTerminal() {
        setsid()
        let nowhere = open("/dev/null", O_RDWR)
        for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] { dup2(nowhere, stream) }
        if nowhere > STDERR_FILENO { close(nowhere) }
    }
}
