import Memslots
import Synchronization

enum HandleKind: UInt64 {
    case table = 1
    case receipt, reader, vcpu, hook, observation, backEnd
}

/// The objects that handles name. Any number is safe to pass as a handle.
///
/// A handle consists of the index of a place and the number of the place's use. A place that is
/// reused gets another number, so a closed handle never names a later object. A lookup costs two
/// atomic operations on the place, and holds the object until the call ends.
// Sendable: a place's object is written before its state is published; the thread that releases
// the last hold clears it.
final class HandleTable: @unchecked Sendable {
    static let shared = HandleTable()

    /// | use: 40 bits | closed: 1 | holds: 23 |
    private struct Place: ~Copyable {
        let state = Atomic<UInt64>(1 << 24 | closedBit)
        var kind: HandleKind?
        var object: Unmanaged<AnyObject>?
    }

    private static let closedBit: UInt64 = 1 << 23
    private static let holdsMask: UInt64 = closedBit - 1
    private static let indexBits: UInt64 = 20
    private static let chunkSize = 1_024
    private static let chunkCount = (1 << Int(indexBits)) / chunkSize

    private let chunks: UnsafeMutablePointer<Atomic<UnsafeMutableRawPointer?>>
    private let places = Locked(Places())

    private struct Places {
        var free: [Int] = []
        /// The number of places that were ever used. Place 0 never is, so that no handle is 0.
        var used = 1
    }

    private init() {
        chunks = .allocate(capacity: Self.chunkCount)
        for index in 0..<Self.chunkCount { (chunks + index).initialize(to: Atomic(nil)) }
    }

    /// Returns a new handle for `object`, which lives until it is closed. Throws `tooManyHandles`.
    func open(_ object: AnyObject, as kind: HandleKind) throws(Problem) -> UInt64 {
        guard let index = claimPlace(), let place = place(index) else { throw .tooManyHandles }
        place.pointee.kind = kind
        place.pointee.object = Unmanaged.passRetained(object)
        let use = place.pointee.state.load(ordering: .relaxed) >> 24
        place.pointee.state.store(use << 24 | 1, ordering: .releasing)
        return use << 24 | kind.rawValue << Self.indexBits | UInt64(index)
    }

    /// Runs `body` with the object that `handle` names. Throws `badHandle` for one of another kind.
    func with<Object: AnyObject, R>(
        _ handle: UInt64, _ kind: HandleKind, as type: Object.Type,
        _ body: (Object) throws(Problem) -> R
    ) throws(Problem) -> R {
        guard let object = hold(handle, kind, as: type) else { throw .badHandle(kind) }
        defer { release(handle) }
        return try body(object)
    }

    /// Holds an object until ``release(_:)``, also a closed one; `nil` if it is not of this kind.
    func hold<Object: AnyObject>(
        _ handle: UInt64, _ kind: HandleKind, as type: Object.Type
    ) -> Object? {
        let held = change(handle, kind) { $0 & Self.holdsMask < Self.holdsMask ? $0 + 1 : nil }
        guard let (place, _) = held else { return nil }
        // Every object of this kind has this type.
        return place.pointee.object.map { unsafeDowncast($0.takeUnretainedValue(), to: type) }
    }

    /// Ends a hold of ``hold(_:_:as:)``.
    func release(_ handle: UInt64) {
        guard let place = place(index(of: handle)) else { return }
        let state = place.pointee.state.subtract(1, ordering: .acquiringAndReleasing).newValue
        if state & Self.holdsMask == 0 { reclaim(place, index(of: handle)) }
    }

    /// Closes a handle. Its object is released when the last hold ends. Throws `badHandle`.
    func close(_ handle: UInt64, _ kind: HandleKind) throws(Problem) {
        guard let (place, state) = change(handle, kind, { ($0 - 1) | Self.closedBit })
        else { throw .badHandle(kind) }
        if state & Self.holdsMask == 0 { reclaim(place, index(of: handle)) }
    }

    /// Changes the state of an open handle. Returns its place and new state; `nil` if it can't.
    private func change(
        _ handle: UInt64, _ kind: HandleKind, _ next: (UInt64) -> UInt64?
    ) -> (UnsafeMutablePointer<Place>, UInt64)? {
        guard handle >> Self.indexBits & 0xf == kind.rawValue, let place = place(index(of: handle))
        else { return nil }
        var state = place.pointee.state.load(ordering: .acquiring)
        while true {
            guard state >> 24 == handle >> 24, state & Self.closedBit == 0,
                place.pointee.kind == kind, let wanted = next(state)
            else { return nil }
            let (won, now) = place.pointee.state.weakCompareExchange(
                expected: state, desired: wanted, ordering: .acquiringAndReleasing)
            if won { return (place, wanted) }
            state = now
        }
    }

    private func reclaim(_ place: UnsafeMutablePointer<Place>, _ index: Int) {
        let object = place.pointee.object
        place.pointee.object = nil
        let use = place.pointee.state.load(ordering: .relaxed) >> 24
        place.pointee.state.store((use + 1) << 24 | Self.closedBit, ordering: .releasing)
        places.withLock { $0.free.append(index) }
        // Outside of the lock: the object may close other handles.
        object?.release()
    }

    private func claimPlace() -> Int? {
        places.withLock { places in
            if let index = places.free.popLast() { return index }
            let index = places.used
            guard index < Self.chunkCount * Self.chunkSize else { return nil }
            if index == 1 || index % Self.chunkSize == 0 { addChunk(index / Self.chunkSize) }
            places.used += 1
            return index
        }
    }

    private func addChunk(_ number: Int) {
        let places = UnsafeMutablePointer<Place>.allocate(capacity: Self.chunkSize)
        for index in 0..<Self.chunkSize { (places + index).initialize(to: Place()) }
        chunks[number].store(UnsafeMutableRawPointer(places), ordering: .releasing)
    }

    private func index(of handle: UInt64) -> Int { Int(handle & ((1 << Self.indexBits) - 1)) }

    private func place(_ index: Int) -> UnsafeMutablePointer<Place>? {
        let chunk = chunks[index / Self.chunkSize].load(ordering: .acquiring)
        return chunk.map { $0.assumingMemoryBound(to: Place.self) + index % Self.chunkSize }
    }
}

/// An object of a table, until its handle is closed. It keeps the table.
final class Open<Value: Sendable>: Sendable {
    let value: Value
    let table: OpenTable

    init(_ value: Value, in table: OpenTable) { (self.value, self.table) = (value, table) }
}
