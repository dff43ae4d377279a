import CLinux
import CRunRecord
import Glibc
import Memslots

/// The memory that a run shares with the programs that it preloads.
///
/// They write records into it as they go, so that nothing is lost when one is killed.
// Sendable: what the pointer leads to is only read here, by the rules of CRunRecord.h.
final class RunMemory: @unchecked Sendable {
    private let file: Int32
    private let base: UnsafeMutableRawPointer
    private let size = Int(crun_file_size())

    /// Makes it, empty and sparse.
    init(
        isAtomic: Bool, isLive: Bool, quietMicroseconds: UInt64, failingCall: UInt32
    ) throws(RunFailure) {
        file = clinux_memfd("memslots-run", 0)
        guard file >= 0, ftruncate(file, size) == 0,
            let mapped = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            mapped != MAP_FAILED
        else { throw RunFailure("no memory for the record: \(Errno(rawValue: errno))") }
        base = mapped
        var header = crun_header()
        header.magic = crun_magic()
        header.mode = (isAtomic ? CRUN_ATOMIC : 0) | (isLive ? CRUN_LIVE : 0)
        header.quiet = quietMicroseconds * 1000
        header.fault_call = failingCall
        header.fault_errno = ENOMEM
        base.storeBytes(of: header, as: crun_header.self)
    }

    deinit {
        munmap(base, size)
        close(file)
    }

    /// Under which name a child finds it; as long as this process lives.
    var path: String { "/proc/\(getpid())/fd/\(file)" }

    /// Looks at it.
    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        body(UnsafeRawBufferPointer(start: base, count: size))
    }
}
