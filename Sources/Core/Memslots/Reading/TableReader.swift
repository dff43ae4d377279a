public import CReading
public import Synchronization

/// The fast way to read a table: for device models and vCPU exits.
///
/// Made once for a thread by ``MemslotTable/makeReader(as:)``, and used by one thread at a time. It
/// can't be copied, so that nothing is counted when it is used; a class holds it in a `let`.
///
/// ```swift
/// let reader = table.makeReader(as: "virtio-blk 0")
/// let copied = reader.read { view in
///     view.translate(descriptor.address).map { copy(from: $0.userspaceAddress) }
/// }
/// ```
public struct TableReader: ~Copyable {
    /// What receipts call the reader, where it stays.
    public let name: String
    @usableFromInline let lines: UnsafeMutablePointer<ReaderLines>
    @usableFromInline let active: UnsafeMutablePointer<Atomic<UnsafePointer<VersionLines>>>
    @usableFromInline let hasFence: Bool
    @usableFromInline let record: ReaderRecord
    @usableFromInline let registry: ReaderRegistry
    /// Keeps the arrays, though the table may go.
    private let pair: ArrayPair

    init(_ pair: ArrayPair, name: String) {
        self.name = name
        self.pair = pair
        hasFence = !ProcessFence.isAvailable
        registry = pair.readers
        record = registry.add(name)
        lines = record.lines
        active = registry.active
    }

    deinit { registry.remove(record) }

    /// Runs `body` with the array that is active now, which stays as it is until `body` returns.
    ///
    /// Never waits, and holds nobody up but a submit, at its end: that waits for this reader to
    /// leave the old array, up to the deadline. Addresses that `body` gets from the view are good
    /// until it returns. A read within a read of the same reader sees the same array.
    ///
    /// A submit swaps arrays after its slot calls. A reader that entered before sees the old array
    /// until it leaves, also while the calls are carried out. Where that matters, for what a vCPU
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

    /// Announces the stay, then takes the active pointer: in this order, by the writer's fence.
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
    /// to the deadline, and answers `retired: false`, until ``abandonReaders(named:)``.
    ///
    /// - Parameter name: told in receipts while the reader holds an old array up.
    public func makeReader(as name: String) -> TableReader { TableReader(pair, name: name) }

    /// Waits no more for the readers of this name that are inside now, because their threads are
    /// gone. What they held counts as retired.
    ///
    /// One that is not gone after all is known again when it leaves; until then it may look at
    /// memory that isn't there any more.
    ///
    /// - Returns: how many there were.
    @discardableResult
    public func abandonReaders(named name: String) -> Int { pair.readers.abandon(name) }
}
