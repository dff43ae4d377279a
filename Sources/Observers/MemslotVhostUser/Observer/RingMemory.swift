internal import Glibc
internal import Memslots

/// Reads a split ring's indexes through the slots' mappings in this process.
struct RingMemory {
    private let available: UnsafeRawPointer
    private let used: UnsafeRawPointer

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
        self.available = available
        self.used = used
    }

    /// How many requests the driver has made available, modulo 2^16.
    var availableIndex: UInt16 { available.load(fromByteOffset: 2, as: UInt16.self) }
    /// How many requests the back end has returned, modulo 2^16.
    var usedIndex: UInt16 { used.load(fromByteOffset: 2, as: UInt16.self) }

    /// Whether the back end has returned everything.
    var isEmpty: Bool { availableIndex == usedIndex }

    /// Waits until the back end has returned everything, or nothing changes for so long that it
    /// won't: a quarter of the time that is left, a second at most.
    ///
    /// - Parameter isShort: whether 5 ms are enough: the back end keeps buffers of this ring until it
    ///   has something to put in, such as those of a receive queue.
    /// - Returns: the available index then.
    func rest(isShort: Bool, by deadline: Deadline) -> UInt16 {
        var stillness = Duration.milliseconds(isShort ? 5 : 1_000)
        if let remaining = deadline.remaining { stillness = min(stillness, remaining / 4) }
        var (available, used, end) = (availableIndex, usedIndex, Deadline.after(stillness))
        while used != available, !end.hasPassed {
            usleep(100)
            let now = (availableIndex, usedIndex)
            if now != (available, used) { end = .after(stillness) }
            (available, used) = now
            if deadline.hasPassed { break }
        }
        return available
    }

    /// Waits until the back end has returned all requests before `base`.
    func waitUntilUsed(
        _ base: UInt16, ring: Int, by deadline: Deadline
    ) throws(VhostUserError) {
        while usedIndex != base {
            guard !deadline.hasPassed else {
                throw .notDrained(ring: ring, used: usedIndex, base: base)
            }
            usleep(100)
        }
    }
}
