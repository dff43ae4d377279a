import CRunRecord
import Glibc
import Memslots

/// A run whose VMM goes into the background by itself, as QEMU does with `-daemonize`.
///
/// Who started it, libvirt or a unit of `Type=forking`, waits for the process that it started. So
/// that one ends when the VMM's does, with its status, and another one follows the VMM to its end.
struct BackgroundRun {
    private let pipe: Int32

    /// Whether the words of a command ask for it.
    static func isWanted(by command: [String]) -> Bool { command.contains("-daemonize") }

    /// Returns in the process that follows the run; the calling process waits for it and exits.
    ///
    /// - Parameter ignored: signals that this process was started with ignored.
    /// - Throws: if there can't be another process.
    init(ignoring ignored: [Int]) throws(RunFailure) {
        var ends: [Int32] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else {
            throw RunFailure("no pipe: \(Errno(rawValue: errno))")
        }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let process = crun_fork()
        guard process >= 0 else {
            throw RunFailure("no process for the background: \(Errno(rawValue: errno))")
        }
        if process > 0 {
            close(ends[1])
            Self.wait(for: process, reading: ends[0], ignored)
        }
        close(ends[0])
        pipe = ends[1]
    }

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
        setsid()
        let nowhere = open("/dev/null", O_RDWR)
        for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] { dup2(nowhere, stream) }
        if nowhere > STDERR_FILENO { close(nowhere) }
    }
}
