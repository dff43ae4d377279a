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

    /// Waits until the back end has returned everything, or nothing changes for so long that it
    /// won't. Leaves half of the time until the deadline.
    ///
    /// - Parameters:
    ///   - stillness: for how long nothing must change; a quarter of the time that is left at most.
    ///   - deadline: the end of that time.
    ///   - notify: notifies the back end; called whenever the driver has added something.
    /// - Returns: the available index then.
    func rest(
        for stillness: Duration, by deadline: Deadline, notify: () -> Void = {}
    ) -> UInt16 {
        let left = deadline.remaining ?? .seconds(3_600)
        let stillness = min(left / 4, stillness)
        let limit = Deadline.after(left / 2)
        var (available, used, end) = (availableIndex, usedIndex, Deadline.after(stillness))
        if used != available { notify() }
        while used != available, !end.hasPassed, !limit.hasPassed {
            usleep(100)
            let now = (availableIndex, usedIndex)
            if now != (available, used) { end = .after(stillness) }
            if now.0 != available { notify() }
            (available, used) = now
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
