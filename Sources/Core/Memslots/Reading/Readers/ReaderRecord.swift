public import Synchronization

/// What one registered reader and the transactions tell each other, in cache lines of its own.
@usableFromInline
struct ReaderLines: ~Copyable {
    /// Odd while the reader is inside; counts how often it entered and left. Written by it alone.
    @usableFromInline let ticket = Atomic<UInt64>(0)
    /// Whether somebody waits for the reader to leave.
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

/// A registered reader, kept by it and by whoever waits for it.
// Sendable: what changes is atomic.
@usableFromInline
final class ReaderRecord: @unchecked Sendable {
    /// The name that receipts tell.
    let name: String
    /// Freed with this.
    @usableFromInline let lines: UnsafeMutablePointer<ReaderLines>
    /// Whether nobody waits any more for the reader to end its present stay.
    let isGivenUp = Atomic<Bool>(false)
    private let memory: UnsafeMutableRawPointer

    init(name: String, version: UnsafePointer<VersionLines>) {
        self.name = name
        // Two cache lines, as processors fetch them in pairs: no reader slows another down.
        let size = (MemoryLayout<ReaderLines>.stride + 127) / 128 * 128
        memory = .allocate(byteCount: size, alignment: 128)
        lines = memory.bindMemory(to: ReaderLines.self, capacity: 1)
        lines.initialize(
            to: ReaderLines(version: version, noRecord: ArrayVersion.noRecord))
    }

    deinit {
        lines.deinitialize(count: 1)
        memory.deallocate()
    }

    /// Whether the reader is inside, on the running thread.
    func isInside(on thread: UInt) -> Bool {
        lines.pointee.ticket.load(ordering: .acquiring) & 1 == 1
            && lines.pointee.thread.load(ordering: .relaxed) == thread
    }
}

/// A reader's stay inside, and when it is over.
struct ReaderStay: Sendable {
    let reader: ReaderRecord
    private let end: UInt64

    /// Lasts until the reader's ticket is `end`.
    init(_ reader: ReaderRecord, until end: UInt64) {
        self.reader = reader
        self.end = end
    }

    /// Whether it is over, and the reader done with what it saw; also where it was given up.
    var hasEnded: Bool {
        reader.lines.pointee.ticket.load(ordering: .acquiring) >= end
            || reader.isGivenUp.load(ordering: .acquiring)
    }
}
