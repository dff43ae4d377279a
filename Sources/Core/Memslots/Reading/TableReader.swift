public import CReading
public import Synchronization

/// The fast way to read a table: for device models and vCPU exits.
///
/// Create one for each thread by ``MemslotTable/makeReader(as:)``; one thread at a time may use it.
/// It can't be copied, so a read counts no references. A class keeps it in a `let`.
///
/// ```swift
/// let reader = table.makeReader(as: "virtio-blk 0")
/// let copied = reader.read { view in
///     view.translate(descriptor.address).map { copy(from: $0.userspaceAddress) }
/// }
/// ```
public struct TableReader: ~Copyable {
    /// The name by which a receipt lists the reader if it has not left an old array.
    public let name: String
    @usableFromInline let lines: UnsafeMutablePointer<ReaderLines>
    @usableFromInline let active: UnsafeMutablePointer<Atomic<UnsafePointer<VersionLines>>>
    @usableFromInline let hasFence: Bool
    @usableFromInline let record: ReaderRecord
    @usableFromInline let registry: ReaderRegistry
    /// Keeps the arrays, though the table may go.
    private let pair: ArrayPair

    init(_ pair: ArrayPair, name: String) {
        (self.name, self.pair) = (name, pair)
        hasFence = !ProcessFence.isAvailable
        registry = pair.readers
        record = registry.add(name)
        lines = record.lines
        active = registry.active
    }

    deinit { registry.remove(record) }

    /// Runs `body` with the array that is active now, which stays as it is until `body` returns.
    ///
    /// Never waits, and delays only the end of a submit, which waits for this reader to
    /// leave the old array, up to the deadline. Addresses that `body` gets from the view are good
    /// until it returns. A read within a read of the same reader sees the same array.
    ///
    /// A submit swaps arrays after its slot calls. A reader that entered before sees the old array
    /// until it leaves, also while the calls are made. Where that matters, for what a vCPU
    /// may see meanwhile, use ``MemslotTable/read(as:_:)``, which waits for the transaction.
    ///
    /// Works everywhere: in hooks, observers, the vCPU gate, in other readers. From inside, a
    /// transaction can't be submitted.
    @inlinable
    @inline(__always)
    public borrowing func read<R, E: Error>(
        _ body: (borrowing TableView) throws(E) -> R
    ) throws(E) -> R {
        let view = TableView(lines: lines, version: enter())
        defer { leave() }
        return try body(view)
    }

    /// Announces the reader, then loads the active pointer: in this order, by the writer's fence.
    @inlinable
    @inline(__always)
    borrowing func enter() -> UnsafePointer<VersionLines> {
        let ticket = lines.pointee.ticket.load(ordering: .relaxed)
        if ticket & 1 == 1 {
            lines.pointee.depth &+= 1
            return lines.pointee.version
        }
        lines.pointee.thread.store(creading_fence_thread(), ordering: .relaxed)
        lines.pointee.ticket.store(ticket &+ 1, ordering: .relaxed)
        if hasFence {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        } else {
            creading_fence_compiler()
        }
        let version = active.pointee.load(ordering: .acquiring)
        if version.pointee.generation != lines.pointee.generation {
            lines.pointee.generation = version.pointee.generation
            lines.pointee.version = version
            lines.pointee.main = version.pointee.main
            lines.pointee.lastHit = version.pointee.noRecord
        }
        return version
    }

    @inlinable
    @inline(__always)
    borrowing func leave() {
        guard lines.pointee.depth == 0 else {
            lines.pointee.depth &-= 1
            return
        }
        let ticket = lines.pointee.ticket.load(ordering: .relaxed)
        lines.pointee.ticket.store(ticket &+ 1, ordering: .releasing)
        if hasFence {
            atomicMemoryFence(ordering: .sequentiallyConsistent)
        } else {
            creading_fence_compiler()
        }
        if lines.pointee.isAwaited.load(ordering: .relaxed) { registry.hasLeft(record) }
    }
}

extension MemslotTable {
    /// Makes a reader known. Call from any thread, at any time; it is forgotten when it goes.
    ///
    /// A thread that ends inside a read leaves its reader there: each submit then waits for it up
    /// to the deadline, and its receipt is not ``Receipt/retired``, until ``abandonReaders(named:)``.
    ///
    /// - Parameter name: shown in receipts while the reader pins an old array.
    public func makeReader(as name: String) -> TableReader { TableReader(pair, name: name) }

    /// Waits no more for the readers of this name that are inside now, because their threads are
    /// gone. What they held counts as retired.
    ///
    /// A reader that is not gone is registered again when it leaves; until then it may read
    /// memory that isn't there any more.
    ///
    /// - Returns: how many there were.
    @discardableResult
    public func abandonReaders(named name: String) -> Int { pair.readers.abandon(name) }
}

/// A reader for callers without closures, such as C. The caller must end every visit, and must not
/// use a view after it.
extension TableReader {
    /// Enters; not from inside.
    ///
    /// - Returns: the visit's ticket and the generation; `nil` if the reader is inside.
    package borrowing func enterUnscoped() -> (ticket: UInt64, generation: Generation)? {
        guard lines.pointee.ticket.load(ordering: .relaxed) & 1 == 0 else { return nil }
        let version = enter()
        return (
            lines.pointee.ticket.load(ordering: .relaxed),
            Generation(rawValue: version.pointee.generation)
        )
    }

    /// Whether the reader is inside, in the visit of `ticket`.
    package borrowing func isInside(_ ticket: UInt64) -> Bool {
        ticket & 1 == 1 && lines.pointee.ticket.load(ordering: .relaxed) == ticket
    }

    /// The view of the present visit.
    package borrowing func viewUnscoped() -> TableView {
        TableView(lines: lines, version: lines.pointee.version)
    }

    /// Ends the visit of `ticket`.
    ///
    /// - Returns: whether the reader was in it.
    package borrowing func leaveUnscoped(_ ticket: UInt64) -> Bool {
        guard isInside(ticket) else { return false }
        leave()
        return true
    }
}
