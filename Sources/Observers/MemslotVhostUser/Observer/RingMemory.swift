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

    /// Waits until the back end, which gets no more notifications, has returned what it knows of.
    ///
    /// What it knows of can't be seen. It has all if it has returned everything; otherwise it is
    /// assumed to have if it returns nothing for 5 ms. A slower request is waited for later, when
    /// the base is known.
    func rest(by deadline: Deadline) {
        var (last, quietUntil) = (usedIndex, Deadline.after(.milliseconds(5)))
        while last != availableIndex, !quietUntil.hasPassed, !deadline.hasPassed {
            usleep(100)
            let used = usedIndex
            if used != last { (last, quietUntil) = (used, .after(.milliseconds(5))) }
        }
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
