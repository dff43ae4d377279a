import CLinux
import CRunRecord
import Glibc
import MemslotScenario
import Memslots

struct ChildProgram {
    let path, library, memory: String
    /// Signals that this process was started with ignored, as by `nohup`; so does the child.
    let ignored: [Int]
    let inherited: InheritedDescriptors

    static var ignoredSignals: [Int] { (1...64).filter { crun_is_ignored(Int32($0)) != 0 } }

    /// Signals that this process or `posix_spawn` ignores. The C library's own are 32 and 33, which
    /// sigaddset refuses.
    private static let ignoredHere = [Int(SIGINT), Int(SIGQUIT), Int(SIGXFSZ), 32, 33]

    /// Runs it until it and all its descendants have ended. The terminal sends it signals too;
    /// SIGTERM and SIGHUP are forwarded. `hasEnded` is called when it ends, with the status that is
    /// returned: 128 plus the signal's number if a signal ended it.
    func runToEnd(hasEnded: (Int32) -> Void) throws(RunFailure) -> Int32 {
        // Orphans of a program in the background become children of this process.
        crun_adopt_orphans()
        for number in [SIGINT, SIGQUIT] { signal(number, SIG_IGN) }
        let child = try start()
        ForwardedSignals.begin(to: child, except: ignored)
        var status: Int32 = 0
        var result: Int32 = 0
        while case let ended = waitpid(-1, &status, 0), ended >= 0 || errno == EINTR {
            guard ended == child else { continue }
            result = Self.exitStatus(status)
            hasEnded(result)
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
        var words = Self.words
        var variables = Self.variables(environment)
        defer { variables.forEach { free($0) } }
        var child: pid_t = 0
        let errno = posix_spawn(&child, path, nil, &attributes, &words, &variables)
        inherited.close()
        guard errno == 0 else {
            throw RunFailure("\(path) can't be run: \(Errno(rawValue: errno))")
        }
        return child
    }

    /// The VMM's words, after `--`, as bytes: a path may be no UTF-8.
    static var words: [UnsafeMutablePointer<CChar>?] {
        let all = (0..<Int(CommandLine.argc)).map { CommandLine.unsafeArgv[$0] }
        let first = all.firstIndex { $0.map { strcmp($0, "--") == 0 } ?? false } ?? 0
        return all[(first + 1)...] + [nil]
    }

    /// An environment for `execve`; to be freed.
    static func variables(_ list: [[UInt8]]) -> [UnsafeMutablePointer<CChar>?] {
        list.map { bytes in
            (bytes + [0]).withUnsafeBytes {
                $0.baseAddress.flatMap { strdup($0.assumingMemoryBound(to: CChar.self)) }
            }
        } + [nil]
    }

    /// This process's environment, with the library before other preloaded ones.
    var environment: [[UInt8]] {
        var variables: [[UInt8]] = []
        var preloaded = Array("LD_PRELOAD=\(library)".utf8)
        var next = environ
        while let variable = next.pointee {
            let bytes = Array(UnsafeRawBufferPointer(start: variable, count: strlen(variable)))
            if bytes.starts(with: "LD_PRELOAD=".utf8) {
                preloaded += Array(":".utf8) + bytes.dropFirst("LD_PRELOAD=".utf8.count)
            } else if !bytes.starts(with: "\(CRUN_VARIABLE)=".utf8) {
                variables.append(bytes)
            }
            next += 1
        }
        return variables + [preloaded, Array("\(CRUN_VARIABLE)=\(memory)".utf8)]
    }

    static func exitStatus(_ status: Int32) -> Int32 {
        let signal = status & 0x7f
        return signal == 0 ? status >> 8 & 0xff : 128 + signal
    }
}

/// - Parameter descriptor: a pidfd.
func waitForEnd(ofProcess descriptor: Int32) {
    var ended = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while poll(&ended, 1, -1) < 0, errno == EINTR {}
}

/// The names in a folder; none if it can't be read.
private func folder(_ path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        withUnsafeBytes(of: entry.pointee.d_name) { bytes in
            names.append(String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self))
        }
    }
    return names
}

/// Descriptors passed to the VMM, closed here then: a peer must see when the VMM closes one.
struct InheritedDescriptors {
    private let numbers: [Int32]

    /// Lists them, before this process opens any. It gets the streams that it was started without:
    /// what it opens would else be taken for one.
    init() {
        numbers = folder("/proc/self/fd").compactMap { Int32($0) }.filter {
            // One that is closed now was of the listing itself.
            $0 > STDERR_FILENO && fcntl($0, F_GETFD) & FD_CLOEXEC == 0
        }
        var file: Int32
        repeat { file = open("/dev/null", O_RDWR | O_CLOEXEC) } while 0...STDERR_FILENO ~= file
        if file > STDERR_FILENO { Glibc.close(file) }
    }

    func close() { for number in numbers { Glibc.close(number) } }
}

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

/// The memory that a run shares with the programs that it preloads. They write each record
/// immediately, so that nothing is lost when one is killed.
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
        else {
            let reason = Errno(rawValue: errno)
            throw RunFailure(
                "no memory for the record: \(reason)"
                    + (reason.rawValue == EFBIG ? ": 'ulimit -f' is below \(size) bytes" : ""))
        }
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

    /// Waits until no other process has the memory mapped: a VMM may be no child of this process.
    func waitForPrograms() {
        var status = stat()
        fstat(file, &status)
        let mapping = " \(status.st_ino) "
        while let process = folder("/proc").compactMap({ pid_t($0) }).first(where: { process in
            process != getpid()
                && (try? InputFile("/proc/\(process)/maps").bytes()).map {
                    String(decoding: $0, as: UTF8.self).split(separator: "\n").contains {
                        $0.contains(mapping) && $0.contains("memfd:memslots-run")
                    }
                } ?? false
        }) {
            let program = crun_open_process(process)
            // It has ended meanwhile.
            guard program >= 0 else { continue }
            waitForEnd(ofProcess: program)
            close(program)
        }
    }

    func setAtomic(_ isAtomic: Bool) {
        crun_set_off(base.assumingMemoryBound(to: crun_header.self), isAtomic ? 0 : 1)
    }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        body(UnsafeRawBufferPointer(start: base, count: size))
    }
}
