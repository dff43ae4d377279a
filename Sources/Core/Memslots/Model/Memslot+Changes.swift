/// Slots made from a slot.
extension Memslot {
    /// Returns the two parts of the slot below and from `address`.
    ///
    /// The low part keeps the id; the high part has none, so that the table picks one. Userspace
    /// address, offset in the memory object and offset in the guest_memfd follow.
    ///
    /// ```swift
    /// let (low, rest) = ram.split(at: 0xa0000)
    /// ```
    ///
    /// - Parameter address: where the high part begins.
    /// - Precondition: `address` is a multiple of 4096 and lies inside the slot, after its first
    ///   byte. The slot's own addresses do not wrap 2^64.
    public func split(at address: GuestPhysicalAddress) -> (low: Memslot, high: Memslot) {
        precondition(address.isPageAligned, "\(address) is not a multiple of 4096")
        precondition(
            address > guestPhysicalAddress && address < guestPhysicalEnd,
            "\(address) is not inside \(hex(first: guestPhysicalAddress.rawValue, last: guestPhysicalEnd.rawValue &- 1))"
        )
        var low = self
        low.size = ByteCount(address.rawValue - guestPhysicalAddress.rawValue)
        return (low, part(from: low.size.rawValue))
    }

    /// Returns the one slot that covers exactly this slot and `other`, or `nil` if there is none.
    ///
    /// There is one if the two, in either order, are neighbours in one address space, in user
    /// memory and in the memory object or guest_memfd that they name, with the same flags. It has
    /// this slot's id, or else that of `other`. Slots with a guest_memfd of their own never merge.
    public func merged(with other: Memslot) -> Memslot? {
        let (low, high) =
            guestPhysicalAddress < other.guestPhysicalAddress ? (self, other) : (other, self)
        var whole = low
        whole.id = id ?? other.id
        whole.size = ByteCount(rawValue: low.size.rawValue &+ high.size.rawValue)
        guard low.guestPhysicalEnd == high.guestPhysicalAddress,
            low.guestPhysicalAddress < high.guestPhysicalAddress,
            high.guestPhysicalAddress < whole.guestPhysicalEnd, guestMemfd?.isOwn != true
        else { return nil }
        var (expected, found) = (whole.part(from: low.size.rawValue), high)
        (expected.id, found.id) = (nil, nil)
        return expected == found ? whole : nil
    }

    /// Returns the slot from its byte `offset` on, without an id.
    private func part(from offset: UInt64) -> Memslot {
        var part = self
        part.id = nil
        part.guestPhysicalAddress.rawValue &+= offset
        part.size.rawValue -= offset
        part.userspaceAddress.rawValue &+= offset
        if memory != nil { part.memoryOffset.rawValue &+= offset }
        if guestMemfd?.isOwn == false { part.guestMemfdOffset.rawValue &+= offset }
        return part
    }

    /// Returns the slot at another guest physical address.
    public func moved(to address: GuestPhysicalAddress) -> Memslot {
        var slot = self
        slot.guestPhysicalAddress = address
        return slot
    }

    /// Returns the slot with its dirty log on or off.
    public func logging(_ isLogging: Bool) -> Memslot {
        var slot = self
        if isLogging {
            slot.flags.insert(.logDirtyPages)
        } else {
            slot.flags.remove(.logDirtyPages)
        }
        return slot
    }
}
