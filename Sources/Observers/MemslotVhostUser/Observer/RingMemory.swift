internal import Glibc
internal import Memslots

/// Reads a split ring's indexes through the slots' mappings in this process.
struct RingMemory {
    private let available, used: UnsafeRawPointer

    /// - Returns: `nil` if no slot holds the ring.
    init?(of ring: VhostUserRing, in slots: [Memslot]) {
        func pointer(_ address: GuestPhysicalAddress) -> UnsafeRawPointer? {
            let slot = slots.first {
                $0.guestPhysicalAddress <= address && address < $0.guestPhysicalEnd
            }
            guard let slot else { return nil }
            let offset = address.rawValue - slot.guestPhysicalAddress.rawValue
            return UnsafeRawPointer(bitPattern: UInt(slot.userspaceAddress.rawValue + offset))
        }
        guard let available = pointer(ring.addresses.available),
            let used = pointer(ring.addresses.used)
        else { return nil }
        (self.available, self.used) = (available, used)
    }

    /// How many requests the driver has made available, modulo 2^16.
    var availableIndex: UInt16 { available.load(fromByteOffset: 2, as: UInt16.self) }
    /// How many requests the back end has returned, modulo 2^16.
    var usedIndex: UInt16 { used.load(fromByteOffset: 2, as: UInt16.self) }

    /// Waits until the back end has returned all requests before `base`.
    func waitUntilUsed(_ base: UInt16, ring: Int, by deadline: Deadline) throws(VhostUserError) {
        while usedIndex != base {
            guard !deadline.hasPassed else {
                throw .notDrained(ring: ring, used: usedIndex, base: base)
            }
            usleep(100)
        }
    }
}

/// The wait of one ring for its back end, which is notified of what the driver adds meanwhile.
struct RingRest {
    let index: Int
    private let memory: RingMemory
    private let kick: OwnedDescriptor
    private let stillness: Duration
    private let first, size: UInt16
    private var available, used: UInt16
    private var end: Deadline
    /// Whether the driver goes on without notifications, because it reads the used index by itself.
    private(set) var isPolled = false

    /// Begins, with a notification. `left`, the time for all of it, is at most 4 seconds.
    init(_ kept: KeptRing, _ memory: RingMemory, left: Duration) {
        (index, self.memory, kick) = (kept.ring.index, memory, kept.privateKick)
        size = kept.ring.size
        stillness = kept.keepsBuffers ? min(left / 4, .milliseconds(5)) : left / 4
        (available, used) = (memory.availableIndex, memory.usedIndex)
        first = available
        end = .after(stillness)
        // The driver's own notification may come too late, or have gone to the former kick.
        if !isEmpty { BackEnd.signal(kick) }
    }

    /// Whether the back end has returned everything.
    var isEmpty: Bool { used == available }

    /// Whether it has, or nothing has changed for so long that it won't.
    var isOver: Bool { isEmpty || end.hasPassed }

    /// Reads the ring again.
    ///
    /// - Returns: whether the driver has added something of which the back end was notified.
    @discardableResult
    mutating func update() -> Bool {
        let now = (available: memory.availableIndex, used: memory.usedIndex)
        defer { (available, used) = now }
        if isPolled {
            if now.used != used { end = .after(.milliseconds(100)) }
            return false
        }
        if now != (available, used) { end = .after(stillness) }
        guard now.available != available else { return false }
        // More than fits: it has found what was returned, though nobody has called it.
        if now.available &- first > size {
            isPolled = true
            end = .after(.milliseconds(100))
            return false
        }
        BackEnd.signal(kick)
        return true
    }
}
