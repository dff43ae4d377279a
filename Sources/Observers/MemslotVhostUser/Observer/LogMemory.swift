internal import CLinux
internal import Glibc
internal import Memslots
internal import Synchronization

/// The memory in which a back end records what it writes: a bit for each 4 KiB of guest addresses,
/// on every host, the lowest page in the lowest bit.
final class LogMemory: Sendable {
    let descriptor: OwnedDescriptor
    /// The size in bytes, a multiple of 4096.
    let size: UInt64
    // Sendable: the words are accessed atomically.
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// Allocates a clean log for guest addresses below `end`.
    init(guestEnd end: UInt64) throws(VhostUserError) {
        let file = OwnedDescriptor(
            adopting: try valueOfCall("memfd_create", clinux_memfd("memslots-log", 0)))
        let size = (Self.size(guestEnd: end) + 4_095) / 4_096 * 4_096
        guard ftruncate(file.number, off_t(size)) == 0 else {
            throw .systemCall("ftruncate", .last)
        }
        let mapping = mmap(nil, Int(size), PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0)
        guard let mapping, mapping != MAP_FAILED else { throw .systemCall("mmap", .last) }
        descriptor = file
        self.size = size
        // Unsafe: a mapping of `size` zeros, of which every word is a valid atomic.
        words = mapping.bindMemory(to: Atomic<UInt64>.self, capacity: Int(size / 8))
    }

    deinit { munmap(words, Int(size)) }

    /// The bytes that a log needs for guest addresses below `end`.
    static func size(guestEnd end: UInt64) -> UInt64 { max(1, (end / 4_096 + 7) / 8) }

    /// Clears the log, and calls `body` for each guest page whose bit was set, ascending.
    func removeAll(_ body: (UInt64) -> Void) {
        for index in 0..<Int(size / 8) where words[index].load(ordering: .relaxed) != 0 {
            var word = words[index].exchange(0, ordering: .acquiringAndReleasing)
            while word != 0 {
                body(UInt64(index * 64 + word.trailingZeroBitCount))
                word &= word - 1
            }
        }
    }
}
