import CLinux
import CRunRecord
import Glibc
import Memslots

/// A program that runs with the library preloaded.
struct ChildProgram {
    let path: String
    let arguments: [String]
    let library: String
    let memory: String
    /// Signals that this process was started with ignored, as `nohup` and a shell's `&` do. The
    /// child ignores them too, and no others.
    private let ignored: [Int]

    /// The signals that this process ignores now.
    static var ignoredSignals: [Int] { (1...64).filter { crun_is_ignored(Int32($0)) != 0 } }

    /// Signals that this process or `posix_spawn` ignores. The C library's own are 32 and 33, which
    /// sigaddset refuses.
    private static let ignoredHere = [Int(SIGINT), Int(SIGQUIT), 32, 33]

    init(
        path: String, arguments: [String], library: String, memory: String, ignored: [Int]
    ) {
        self.ignored = ignored
        self.path = path
        self.arguments = arguments
        self.library = library
        self.memory = memory
    }

    /// Runs it until it and all its descendants have ended.
    ///
    /// That includes a VMM that goes into the background. The terminal sends its signals to the
    /// program too; SIGTERM and SIGHUP are forwarded.
    ///
    /// - Parameter hasEnded: called with its exit status when it ends, before its descendants may.
    /// - Returns: its exit status; 128 plus the signal's number if a signal ended it.
    func runToEnd(hasEnded: (Int32) -> Void) throws(RunFailure) -> Int32 {
        // Orphans of a program in the background become children of this process.
        crun_adopt_orphans()
        for number in [SIGINT, SIGQUIT] { signal(number, SIG_IGN) }
        let child = try start()
        ForwardedSignals.begin(to: child, except: ignored)
        var status: Int32 = 0
        var result: Int32 = 0
        while true {
            let ended = waitpid(-1, &status, 0)
            if ended < 0 && errno == EINTR { continue }
            if ended < 0 { break }
            if ended == child {
                result = Self.exitStatus(status)
                hasEnded(result)
            }
        }
        return result
    }

    private func start() throws(RunFailure) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigemptyset(&defaults)
        withUnsafeMutableBytes(of: &defaults) { bytes in
            for signal in Self.ignoredHere where !ignored.contains(signal) {
                bytes[(signal - 1) / 8] |= 1 << ((signal - 1) % 8)
            }
        }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var words = arguments.map { strdup($0) } + [nil]
        var variables = environment.map { strdup($0) } + [nil]
        defer { (words + variables).forEach { free($0) } }
        var child: pid_t = 0
        let errno = posix_spawn(&child, path, nil, &attributes, &words, &variables)
        guard errno == 0 else {
            throw RunFailure("\(path) can't be run: \(Errno(rawValue: errno))")
        }
        return child
    }

    /// This process's environment, with the library before other preloaded ones.
    var environment: [String] {
        var variables: [String] = []
        var preloaded = library
        var next = environ
        while let variable = next.pointee {
            let text = String(cString: variable)
            if text.hasPrefix("LD_PRELOAD=") {
                preloaded += ":" + text.dropFirst("LD_PRELOAD=".count)
            } else if !text.hasPrefix(CRUN_VARIABLE + "=") {
                variables.append(text)
            }
            next += 1
        }
        return variables + ["LD_PRELOAD=" + preloaded, "\(CRUN_VARIABLE)=\(memory)"]
    }

    static func exitStatus(_ status: Int32) -> Int32 {
        let signal = status & 0x7f
        return signal == 0 ? status >> 8 & 0xff : 128 + signal
    }
}

/// Signals that this process forwards to its child.
enum ForwardedSignals {
    // Unsafe: set once, before the handlers that read it.
    nonisolated(unsafe) private static var child: pid_t = 0

    static func begin(to process: pid_t, except ignored: [Int]) {
        child = process
        var numbers = sigset_t()
        sigemptyset(&numbers)
        for number in [SIGTERM, SIGHUP] where !ignored.contains(Int(number)) {
            signal(number) { kill(ForwardedSignals.child, $0) }
            sigaddset(&numbers, number)
        }
        // They may be blocked since the start of this process; the child keeps that mask.
        sigprocmask(SIG_UNBLOCK, &numbers, nil)
    }
}

/// The memory that a run shares with the programs that it preloads.
///
/// They write each record immediately, so that nothing is lost when one is killed.
// Sendable: this process only reads the memory, by the rules of CRunRecord.h.
final class RunMemory: @unchecked Sendable {
    private let file: Int32
    private let base: UnsafeMutableRawPointer
    private let size = Int(crun_file_size())

    /// Creates it, empty and sparse, with the settings in `settings`.
    init(_ settings: crun_header) throws(RunFailure) {
        file = clinux_memfd("memslots-run", 0)
        // Sealed: a VMM that truncated the file would end this process with SIGBUS.
        guard file >= 0, ftruncate(file, size) == 0, clinux_seal_size(file) == 0,
            let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            mapped != MAP_FAILED
        else { throw RunFailure("no memory for the record: \(Errno(rawValue: errno))") }
        base = mapped
        var header = settings
        header.magic = crun_magic()
        header.fault_errno = ENOMEM
        base.storeBytes(of: header, as: crun_header.self)
    }

    deinit {
        munmap(base, size)
        close(file)
    }

    /// Its path for a child, valid while this process lives.
    var path: String { "/proc/\(getpid())/fd/\(file)" }

    /// Switches `--atomic` off or on, between two transactions.
    func setAtomic(_ isAtomic: Bool) {
        crun_set_off(base.assumingMemoryBound(to: crun_header.self), isAtomic ? 0 : 1)
    }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        body(UnsafeRawBufferPointer(start: base, count: size))
    }
}
