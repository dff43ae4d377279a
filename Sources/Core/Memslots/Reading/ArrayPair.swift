internal import Dispatch

/// The active and the inactive array, as KVM itself keeps two sets of slots.
///
/// Readers are `sync` blocks of a concurrent queue; the swap is a `sync` barrier, so that a reader
/// sees the old array or the new one. The gate before the queue lets the wait for the swap time out.
/// Registered readers see the same swap without waiting for it: ``ReaderRegistry`` reports when they
/// have left the old array, and ``UnretiredArrays`` keeps it until then.
final class ArrayPair: Sendable {
    /// Emptied before the barrier is entered.
    let gate = EntryGate()
    /// Those who don't go through the gate.
    let readers: ReaderRegistry
    /// The arrays that they still read.
    let unretired = UnretiredArrays()
    // Seen by a test that holds it.
    let queue = DispatchQueue(label: "memslots.arrays", attributes: .concurrent)
    // Read inside `queue`, or by the one transaction; written by it under the barrier.
    nonisolated(unsafe) private var active: ArrayVersion
    // Only touched by the one transaction.
    nonisolated(unsafe) private var inactive: ArrayVersion?
    // Only touched by the one transaction.
    nonisolated(unsafe) private var spareIndex: AddressIndex?

    // Set by a test before the first submit: what becomes of memory that no reader reads.
    nonisolated(unsafe) var spoil: (@Sendable (AddressIndex) -> Void)?
    private let kept = Locked<[any AnyObject & Sendable]>([])

    init(
        _ array: MemslotArray, generation: Generation,
        privateRanges: GuestRangeSet = GuestRangeSet()
    ) {
        active = ArrayVersion(
            TableSnapshot(generation: generation, array: array, privateSet: privateRanges))
        readers = ReaderRegistry(active)
    }

    /// The active array, for the transaction's own thread and those inside the queue.
    var current: TableSnapshot { active.snapshot }

    /// Runs `body` with the active array; waits first while a swap is under way.
    func read<R>(as name: String, _ body: (TableSnapshot) -> R) -> R {
        let visit = gate.enter(as: name)
        defer { gate.leave(visit) }
        return Scheduling.section(.shared, of: queue) { queue.sync { body(active.snapshot) } }
    }

    /// Keeps `object` as long as the table or a reader of it is there.
    func retain(_ object: any AnyObject & Sendable) { kept.withLock { $0.append(object) } }

    /// Builds the array of `slots`, ascending by key, in the inactive place, as the generation after
    /// the active one, with `privateRanges`.
    func build(_ slots: [Memslot], _ privateRanges: GuestRangeSet = GuestRangeSet()) {
        if isKnownUniquelyReferenced(&spareIndex) {
            spareIndex?.rebuild(slots)
        } else {
            spareIndex = nil
        }
        let array = MemslotArray(sortedByKey: slots, spareIndex)
        spareIndex = nil
        inactive = ArrayVersion(
            TableSnapshot(
                generation: active.snapshot.generation.next, array: array,
                privateSet: privateRanges))
    }

    /// Swaps the two under the barrier, which is free once the gate is empty.
    func swap() {
        guard let next = inactive else { preconditionFailure("nothing was built") }
        inactive = nil
        unretired.add(active)
        Scheduling.section(.barrier, of: queue) { queue.sync(flags: .barrier) { active = next } }
        readers.publish(next)
    }

    /// Waits until the registered readers have left all arrays but the active one.
    ///
    /// - Returns: who has not at the deadline, sorted by name.
    func retire(_ deadline: Deadline) -> [String] {
        let remaining = readers.waitForEnd(of: readers.openVisits(), deadline)
        spareIndex = unretired.pinNewest(for: remaining) ?? spareIndex
        return remaining.map(\.reader.name).sorted()
    }

    /// Releases arrays that nobody reads.
    ///
    /// - Returns: the generation below which all arrays are retired now, if a receipt had reported
    ///   otherwise; else `nil`.
    func releaseRetired() -> Generation? {
        let retired = unretired.releaseRetired(active: current.generation)
        if let spoil, isKnownUniquelyReferenced(&spareIndex) { spareIndex.map(spoil) }
        if retired == current.generation { readers.recordReport() }
        return retired
    }
}

/// What a registered reader needs of the active array, in memory that stays where it is.
@usableFromInline
struct VersionLines {
    /// The index of address space 0, where that has slots.
    @usableFromInline let main: UnsafeMutablePointer<SlotTree>?
    @usableFromInline let generation: UInt64
    /// A record that no address is in.
    @usableFromInline let noRecord: UnsafePointer<SlotRecord>
    /// The version these are of, which outlives its readers.
    let version: Unmanaged<ArrayVersion>
}

/// An array at one generation, as long as anybody reads it.
// Sendable: never changed after `init`.
final class ArrayVersion: @unchecked Sendable {
    let snapshot: TableSnapshot
    /// What readers find by the active pointer; freed with this.
    let lines: UnsafeMutablePointer<VersionLines>

    /// A record for those who have none.
    // Never written, never freed.
    nonisolated(unsafe) static let noRecord: UnsafePointer<SlotRecord> = {
        let record = UnsafeMutablePointer<SlotRecord>.allocate(capacity: 1)
        record.initialize(to: .before)
        return UnsafePointer(record)
    }()

    init(_ snapshot: TableSnapshot) {
        self.snapshot = snapshot
        lines = .allocate(capacity: 1)
        lines.initialize(
            to: VersionLines(
                main: snapshot.array.index.tree(of: 0), generation: snapshot.generation.rawValue,
                noRecord: Self.noRecord, version: .passUnretained(self)))
    }

    deinit { lines.deallocate() }
}
