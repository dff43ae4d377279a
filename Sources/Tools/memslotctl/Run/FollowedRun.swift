import Glibc
import MemslotTrace
import Memslots

/// A thread that reads the records of a run while it lasts, and passes on each event.
final class FollowedRun: Sendable {
    private let thread: OwnThread
    private let isOver = Locked(false)

    /// The time between two reads, in microseconds.
    private static let pause: UInt32 = 4_000

    /// - Parameter isAtomic: whether commits are followed, and not what the VMM asked for.
    init(
        _ memory: RunMemory, isAtomic: Bool, _ settings: TraceImporter.Options,
        _ apply: @escaping @Sendable ([RunEvent]) -> Void
    ) throws(Errno) {
        let isOver = isOver
        thread = try OwnThread {
            var reader = RunRecordReader(RunFollower(isAtomic: isAtomic, options: settings))
            while true {
                let isOver = isOver.withLock { $0 }
                apply(memory.withBytes { reader.read($0, isOver: isOver) })
                if isOver { return }
                usleep(Self.pause)
            }
        }
    }

    /// Returns once all records are read; no more will be written.
    func end() {
        isOver.withLock { $0 = true }
        thread.join()
    }
}
