import Memslots
import Synchronization

/// What a handle names.
enum HandleKind: UInt64 {
    case table = 1
    case receipt
    case reader
    case vcpu
    case hook
    case observation
}

/// Gives numbers for objects, so that a program can hand in whatever it likes.
///
/// A handle is a place and the number of its use; a place that is used anew has another number,
/// so that a closed handle never names a later object. Looking one up costs two atomic operations
/// on the place, and holds the object until the call is over.
// Sendable: a place's object is written before its state is published, and let go of by the one who
// drops the last hold.
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
    private let lock = Monitor()
    // Guarded by `lock`. Place 0 is never given, so that no handle is 0.
    private var free: [Int] = []
    private var used = 1

    private init() {
        chunks = .allocate(capacity: Self.chunkCount)
        for index in 0..<Self.chunkCount {
            (chunks + index).initialize(to: Atomic(nil))
        }
    }

    /// Gives a handle for `object`, which is held until the handle is closed.
    ///
    /// - Returns: `nil` where all numbers are in use.
    func open(_ object: AnyObject, as kind: HandleKind) -> UInt64? {
        guard let index = takePlace(), let place = place(index) else { return nil }
        place.pointee.kind = kind
        place.pointee.object = Unmanaged.passRetained(object)
        let use = place.pointee.state.load(ordering: .relaxed) >> 24
        place.pointee.state.store(use << 24 | 1, ordering: .releasing)
        return use << 24 | kind.rawValue << Self.indexBits | UInt64(index)
    }

    /// Runs `body` with the object that `handle` names; `nil` where it names none of this kind.
    func with<Object: AnyObject, R, E: Error>(
        _ handle: UInt64, _ kind: HandleKind, as type: Object.Type,
        _ body: (Object) throws(E) -> R
    ) throws(E) -> R? {
        guard let object = hold(handle, kind, as: type) else { return nil }
        defer { drop(handle) }
        return try body(object)
    }

    /// Holds an object until ``drop(_:)``, whoever closes its handle meanwhile.
    func hold<Object: AnyObject>(
        _ handle: UInt64, _ kind: HandleKind, as type: Object.Type
    ) -> Object? {
        guard let place = place(of: handle, kind) else { return nil }
        var state = place.pointee.state.load(ordering: .acquiring)
        while true {
            let holds = state & Self.holdsMask
            guard state >> 24 == handle >> 24, state & Self.closedBit == 0,
                holds < Self.holdsMask, place.pointee.kind == kind
            else { return nil }
            let (won, now) = place.pointee.state.weakCompareExchange(
                expected: state, desired: state + 1, ordering: .acquiring)
            if won { break }
            state = now
        }
        // Of this kind only such objects are opened.
        return place.pointee.object.map { unsafeDowncast($0.takeUnretainedValue(), to: type) }
    }

    /// Lets go of what ``hold(_:_:as:)`` held.
    func drop(_ handle: UInt64) {
        guard let place = place(index(of: handle)) else { return }
        let state = place.pointee.state.subtract(1, ordering: .acquiringAndReleasing).newValue
        if state & Self.holdsMask == 0 { reclaim(place, index(of: handle)) }
    }

    /// Closes a handle: it names nothing any more, and its object goes once nobody holds it.
    ///
    /// - Returns: whether it named something of this kind.
    func close(_ handle: UInt64, _ kind: HandleKind) -> Bool {
        guard let place = place(of: handle, kind) else { return false }
        var state = place.pointee.state.load(ordering: .acquiring)
        while true {
            guard state >> 24 == handle >> 24, state & Self.closedBit == 0,
                place.pointee.kind == kind
            else { return false }
            let (won, now) = place.pointee.state.weakCompareExchange(
                expected: state, desired: (state - 1) | Self.closedBit,
                ordering: .acquiringAndReleasing)
            if won { break }
            state = now
        }
        if (state - 1) & Self.holdsMask == 0 { reclaim(place, index(of: handle)) }
        return true
    }

    private func reclaim(_ place: UnsafeMutablePointer<Place>, _ index: Int) {
        let object = place.pointee.object
        place.pointee.object = nil
        let use = place.pointee.state.load(ordering: .relaxed) >> 24
        place.pointee.state.store((use + 1) << 24 | Self.closedBit, ordering: .releasing)
        lock.withLock { free.append(index) }
        // Outside of the lock: what goes may close handles of its own.
        object?.release()
    }

    private func takePlace() -> Int? {
        lock.withLock {
            if let index = free.popLast() { return index }
            guard used < Self.chunkCount * Self.chunkSize else { return nil }
            defer { used += 1 }
            if used == 1 || used % Self.chunkSize == 0 { addChunk(used / Self.chunkSize) }
            return used
        }
    }

    private func addChunk(_ number: Int) {
        let places = UnsafeMutablePointer<Place>.allocate(capacity: Self.chunkSize)
        for index in 0..<Self.chunkSize { (places + index).initialize(to: Place()) }
        chunks[number].store(UnsafeMutableRawPointer(places), ordering: .releasing)
    }

    private func index(of handle: UInt64) -> Int {
        Int(handle & ((1 << Self.indexBits) - 1))
    }

    private func place(of handle: UInt64, _ kind: HandleKind) -> UnsafeMutablePointer<Place>? {
        guard handle >> Self.indexBits & 0xf == kind.rawValue else { return nil }
        return place(index(of: handle))
    }

    private func place(_ index: Int) -> UnsafeMutablePointer<Place>? {
        let chunk = chunks[index / Self.chunkSize].load(ordering: .acquiring)
        return chunk.map {
            $0.assumingMemoryBound(to: Place.self) + index % Self.chunkSize
        }
    }
}
