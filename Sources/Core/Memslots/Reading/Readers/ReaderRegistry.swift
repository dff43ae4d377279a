internal import CReading
public import Synchronization

/// The registered readers of a table, and the wait for them.
///
/// A reader announces itself by a plain store and loads the active pointer; a transaction stores
/// the pointer, orders every thread of the process with itself, and only then checks who is inside.
/// A reader that is outside by then finds the new array. So no reader ever waits, or writes to
/// memory that another reader reads.
// Sendable: the list and the handler are guarded by the monitor, the pointer is atomic.
@usableFromInline
final class ReaderRegistry: @unchecked Sendable {
    /// What readers see, in a cache line that only a swap writes to.
    @usableFromInline let active: UnsafeMutablePointer<Atomic<UnsafePointer<VersionLines>>>
    private let memory: UnsafeMutableRawPointer
    private let monitor = Monitor()
    private let reporter = SubmissionThread()
    /// ``ProcessFence/execute()``, but in a test of what depends on it.
    private let fence: @Sendable () -> Bool
    // Guarded by `monitor`.
    private var records: [ReaderRecord] = []
    // Guarded by `monitor`. In a structure, for a bare closure is wrapped anew at every access.
    private var lateLeaveHandler: LateLeaveHandler?
    // Guarded by `monitor`.
    private var hasUnreportedRetirement = false

    private struct LateLeaveHandler: Sendable { let run: @Sendable () -> Void }

    /// How long a wait spins before it sleeps, in nanoseconds. Most visits are much shorter.
    private static let spin: UInt64 = 20_000

    init(
        _ version: ArrayVersion, fence: @escaping @Sendable () -> Bool = { ProcessFence.execute() }
    ) {
        self.fence = fence
        memory = .allocate(byteCount: 128, alignment: 128)
        active = memory.bindMemory(to: Atomic<UnsafePointer<VersionLines>>.self, capacity: 1)
        active.initialize(to: Atomic(UnsafePointer(version.lines)))
    }

    deinit {
        active.deinitialize(count: 1)
        memory.deallocate()
    }

    /// Sets the function that runs, on a separate thread, when a reader leaves after its transaction
    /// stopped waiting for it.
    func setLateLeaveHandler(_ handler: @escaping @Sendable () -> Void) {
        monitor.withLock { self.lateLeaveHandler = LateLeaveHandler(run: handler) }
    }

    func add(_ name: String) -> ReaderRecord {
        monitor.withLock {
            let record = ReaderRecord(
                name: name, version: active.pointee.load(ordering: .acquiring))
            records.append(record)
            return record
        }
    }

    /// Forgets a reader, which is outside and will not enter again.
    @usableFromInline
    func remove(_ record: ReaderRecord) {
        monitor.withLock { records.removeAll { $0 === record } }
    }

    /// Waits no more for the readers named `name` that are inside.
    ///
    /// - Returns: how many there are.
    func abandon(_ name: String) -> Int {
        let count = monitor.withLock {
            let inside = records.compactMap { record -> ReaderVisit? in
                let ticket = record.lines.pointee.ticket.load(ordering: .acquiring)
                let isMeant = record.name == name && ticket & 1 == 1
                return isMeant ? ReaderVisit(reader: record, end: ticket + 1) : nil
            }
            for visit in inside {
                // If it leaves after all it comes to `hasLeft`, and is known again.
                visit.reader.lines.pointee.isAwaited.store(true, ordering: .relaxed)
            }
            // After this fence, a reader that left before it saw `isAwaited` is seen to have left; its
            // next visit counts.
            _ = fence()
            let gone = inside.filter { !$0.hasEnded }
            for visit in gone { visit.reader.isAbandoned.store(true, ordering: .releasing) }
            records.removeAll { record in gone.contains { $0.reader === record } }
            return gone.count
        }
        if count > 0 { wake() }
        return count
    }

    var count: Int { monitor.withLock { records.count } }

    /// Whether the running thread is inside.
    var isInside: Bool {
        let thread = creading_fence_thread()
        return monitor.withLock { records.contains { $0.isInside(on: thread) } }
    }

    /// Lets readers that enter from now on find `version`.
    func publish(_ version: ArrayVersion) {
        active.pointee.store(UnsafePointer(version.lines), ordering: .sequentiallyConsistent)
    }

    /// The readers that may still read what was published before the present version.
    func openVisits() -> [ReaderVisit] {
        // After this no reader outside `records` can find an older version.
        let records = monitor.withLock { self.records }
        guard !records.isEmpty else { return [] }
        let isOrdered = fence()
        return records.compactMap { record in
            let ticket = record.lines.pointee.ticket.load(ordering: .acquiring)
            if isOrdered {
                return ticket & 1 == 1 ? ReaderVisit(reader: record, end: ticket + 1) : nil
            }
            // Without the fence a store of the reader's core may still be on its way, so wait until
            // the reader has come and gone once more.
            return ReaderVisit(reader: record, end: ticket + 4)
        }
    }

    /// Waits for the end of `visits`. If some are still open at the deadline, their retirement is
    /// reported later.
    ///
    /// - Returns: those that have not ended.
    func waitForEnd(of visits: [ReaderVisit], _ deadline: Deadline) -> [ReaderVisit] {
        var left = visits.filter { !$0.hasEnded }
        let end = left.isEmpty ? 0 : monotonicNow() + Self.spin
        while !left.isEmpty, monotonicNow() < end { left.removeAll(where: \.hasEnded) }
        guard !left.isEmpty else { return [] }
        return monitor.withLock {
            for visit in left {
                visit.reader.lines.pointee.isAwaited.store(true, ordering: .relaxed)
            }
            // After this fence, a reader that left before it saw `isAwaited` is seen to have left,
            // and the next line removes it.
            let isOrdered = fence()
            left.removeAll(where: \.hasEnded)
            while !left.isEmpty, !deadline.hasPassed {
                let turn = isOrdered ? deadline : deadline.earlier(.after(.milliseconds(1)))
                _ = monitor.wait(until: turn)
                left.removeAll(where: \.hasEnded)
            }
            hasUnreportedRetirement = hasUnreportedRetirement || !left.isEmpty
            // Started now, so that no reader has to.
            if !left.isEmpty { reporter.run {} }
            return left
        }
    }

    func recordReport() { monitor.withLock { hasUnreportedRetirement = false } }

    /// Records that an awaited reader has left.
    @usableFromInline
    func hasLeft(_ record: ReaderRecord) {
        monitor.withLock {
            record.lines.pointee.isAwaited.store(false, ordering: .relaxed)
            if record.isAbandoned.exchange(false, ordering: .relaxed) { records.append(record) }
        }
        wake()
    }

    private func wake() {
        let handler = monitor.withLock {
            monitor.wake()
            return hasUnreportedRetirement ? lateLeaveHandler : nil
        }
        if let handler { reporter.run(handler.run) }
    }
}

/// The words that one registered reader shares with transactions, in cache lines of its own.
@usableFromInline
struct ReaderLines: ~Copyable {
    /// Odd while the reader is inside; counts how often it entered and left. Written by it alone.
    @usableFromInline let ticket = Atomic<UInt64>(0)
    /// Whether a transaction waits for the reader to leave.
    @usableFromInline let isAwaited = Atomic<Bool>(false)
    /// The thread that is inside, or was last.
    @usableFromInline let thread = Atomic<UInt>(0)
    /// How many reads of the same reader the present one is within. The reader's own.
    @usableFromInline var depth = 0
    /// The version that the reader saw last. The reader's own.
    @usableFromInline var version: UnsafePointer<VersionLines>
    /// Its generation: the memory of a version may be that of another later. The reader's own.
    @usableFromInline var generation: UInt64
    /// Its index of address space 0, where that has slots. The reader's own.
    @usableFromInline var main: UnsafeMutablePointer<SlotTree>?
    /// The record that was hit last, or one that no address is in. The reader's own.
    @usableFromInline var lastHit: UnsafePointer<SlotRecord>

    /// Of a reader that saw nothing yet; `version` may be gone when it enters.
    init(version: UnsafePointer<VersionLines>, noRecord: UnsafePointer<SlotRecord>) {
        self.version = version
        generation = .max
        lastHit = noRecord
    }
}

/// A registered reader, kept alive by it and by transactions that wait for it.
// Sendable: what changes is atomic.
@usableFromInline
final class ReaderRecord: @unchecked Sendable {
    let name: String
    /// Freed with this.
    @usableFromInline let lines: UnsafeMutablePointer<ReaderLines>
    /// Whether transactions no longer wait for the reader to leave.
    let isAbandoned = Atomic<Bool>(false)
    private let memory: UnsafeMutableRawPointer

    init(name: String, version: UnsafePointer<VersionLines>) {
        self.name = name
        // Two cache lines, as processors fetch them in pairs: no reader slows another down.
        let size = (MemoryLayout<ReaderLines>.stride + 127) / 128 * 128
        memory = .allocate(byteCount: size, alignment: 128)
        lines = memory.bindMemory(to: ReaderLines.self, capacity: 1)
        lines.initialize(to: ReaderLines(version: version, noRecord: ArrayVersion.noRecord))
    }

    deinit {
        lines.deinitialize(count: 1)
        memory.deallocate()
    }

    func isInside(on thread: UInt) -> Bool {
        lines.pointee.ticket.load(ordering: .acquiring) & 1 == 1
            && lines.pointee.thread.load(ordering: .relaxed) == thread
    }
}

/// A visit of a reader, and when it ends.
struct ReaderVisit: Sendable {
    let reader: ReaderRecord
    /// The reader's ticket when it is over.
    let end: UInt64

    /// Whether it is over, and the reader done with what it saw; also if the reader was abandoned.
    var hasEnded: Bool {
        reader.lines.pointee.ticket.load(ordering: .acquiring) >= end
            || reader.isAbandoned.load(ordering: .acquiring)
    }
}

/// The writer's side of readers that execute no fence of their own.
///
/// Kernel: membarrier(2), private expedited: it interrupts every other core that runs a thread of
/// this process. Paid once a submit, where a fence would be paid at every read.
enum ProcessFence {
    /// Whether the kernel has it; else readers execute a fence each. Decided once a process.
    static let isAvailable = creading_fence_register() == 0

    /// Orders every reader of the process with the caller.
    ///
    /// - Returns: whether it was done. Not where the system call was forbidden meanwhile.
    static func execute() -> Bool {
        guard isAvailable else {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            return true
        }
        if creading_fence() == 0 { return true }
        // A child of fork(2) has to register anew.
        return creading_fence_register() == 0 && creading_fence() == 0
    }
}
