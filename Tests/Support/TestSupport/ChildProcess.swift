package import Foundation
import Glibc
import Testing

/// A program that a test starts, with Foundation's names.
///
/// Foundation takes a program for running while any process has a copy of one of its descriptors: a
/// child that the program leaves behind, or one that another thread has forked meanwhile. A test
/// then waits without end. This one asks for the program itself, inherits nothing but the standard
/// streams, and kills what has not ended in time, which fails the test.
package final class ChildProcess: @unchecked Sendable {
    // Unchecked: one thread starts it; only `status` changes afterwards, under the lock.
    package enum TerminationReason { case exit, uncaughtSignal }

    package var executableURL: URL?
    package var arguments: [String] = []
    /// The variables; those of this process if `nil`.
    package var environment: [String: String]?
    /// A `FileHandle` or a `Pipe`; `/dev/null` if `nil`.
    package var standardInput: Any?
    /// A `FileHandle` or a `Pipe`; this process's if `nil`.
    package var standardOutput: Any?
    /// A `FileHandle` or a `Pipe`; this process's if `nil`.
    package var standardError: Any?
    /// How long ``waitUntilExit()`` waits before it kills the program's process group.
    package var patience = Duration.seconds(600)
    package private(set) var processIdentifier: pid_t = -1
    private let lock = NSLock()
    private var status: Int32?

    package init() {}

    /// Starts the program in a process group of its own, without blocked or ignored signals.
    ///
    /// - Throws: the error of `posix_spawn`.
    package func run() throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if standardInput == nil { standardInput = FileHandle.nullDevice }
        for (number, stream) in [standardInput, standardOutput, standardError].enumerated() {
            let end = (stream as? Pipe).map {
                number == 0 ? $0.fileHandleForReading : $0.fileHandleForWriting
            }
            guard let handle = end ?? stream as? FileHandle else { continue }
            posix_spawn_file_actions_adddup2(&actions, handle.fileDescriptor, Int32(number))
        }
        for descriptor: Int32 in 3..<4_096 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))
        let path = executableURL?.path ?? ""
        let variables = environment ?? ProcessInfo.processInfo.environment
        var words = ([path] + arguments).map { strdup($0) } + [nil]
        var names = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for text in words + names { free(text) } }
        let errno = posix_spawn(&processIdentifier, path, &actions, &attributes, &words, &names)
        // The program has the only other end now.
        (standardInput as? Pipe)?.fileHandleForReading.closeFile()
        for pipe in [standardOutput, standardError] {
            (pipe as? Pipe)?.fileHandleForWriting.closeFile()
        }
        guard errno == 0 else {
            processIdentifier = -1
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EINVAL)
        }
    }

    deinit {
        // A test that failed leaves nothing behind.
        if isRunning {
            kill(-processIdentifier, SIGKILL)
            _ = waitpid(processIdentifier, nil, 0)
        }
    }

    package var isRunning: Bool {
        lock.withLock {
            guard processIdentifier > 0, status == nil else { return false }
            var now: Int32 = 0
            if waitpid(processIdentifier, &now, WNOHANG) == 0 { return true }
            status = now
            return false
        }
    }

    package func terminate() { kill(processIdentifier, SIGTERM) }

    /// Sends a signal to the program, or to its group if the number is negative.
    private func kill(_ number: pid_t, _ signal: Int32) {
        if isRunning { _ = Glibc.kill(number, signal) }
    }

    /// Waits until the program has ended. One that does not is killed, and fails the test.
    package func waitUntilExit() {
        let limit = ContinuousClock.now + patience
        while isRunning {
            if ContinuousClock.now > limit {
                Issue.record("killed after \(patience): \(executableURL?.path ?? "") \(arguments)")
                kill(-processIdentifier, SIGKILL)
                kill(processIdentifier, SIGKILL)
                return
            }
            usleep(1_000)
        }
    }

    /// The exit status, or the number of the signal that ended it.
    package var terminationStatus: Int32 {
        let status = lock.withLock { self.status ?? SIGKILL }
        return terminationReason == .exit ? status >> 8 & 0xFF : status & 0x7F
    }

    package var terminationReason: TerminationReason {
        lock.withLock { self.status ?? SIGKILL } & 0x7F == 0 ? .exit : .uncaughtSignal
    }
}
