public import Memslots

/// A ring that the embedder starts in a back end.
public struct VhostUserRing: Hashable, Sendable {
    /// The ring's number in the back end.
    public var index: Int
    /// The number of entries.
    public var size: UInt16
    /// Where the ring is in guest memory.
    public var addresses: VhostUserRingAddresses
    /// The event descriptor by which the driver notifies the back end. Duplicated.
    public var kick: Int32
    /// The event descriptor by which the back end notifies the driver. Duplicated.
    public var call: Int32
    /// Where the ring's buffers lie, if the embedder knows: then a change elsewhere does not stop
    /// the ring. `nil`: anywhere.
    public var buffers: [Range<GuestPhysicalAddress>]?

    /// Describes a ring.
    public init(
        index: Int, size: UInt16, addresses: VhostUserRingAddresses, kick: Int32, call: Int32,
        buffers: [Range<GuestPhysicalAddress>]? = nil
    ) {
        (self.index, self.size, self.addresses) = (index, size, addresses)
        (self.kick, self.call, self.buffers) = (kick, call, buffers)
    }

    /// The guest bytes of the ring's three parts.
    func ownRanges(isPacked: Bool) -> [Range<UInt64>] {
        let size = UInt64(size)
        let lengths = isPacked ? [16 * size, 4, 4] : [16 * size, 6 + 2 * size, 6 + 8 * size]
        let starts = [addresses.descriptors, addresses.available, addresses.used]
        return zip(starts, lengths).map { $0.rawValue..<$0.rawValue + $1 }
    }

    /// Whether the ring or its buffers may lie in one of `regions`.
    func isTouched(by regions: [VhostUserRegion], isPacked: Bool) -> Bool {
        guard let buffers else { return true }
        let ranges =
            buffers.map { $0.lowerBound.rawValue..<$0.upperBound.rawValue }
            + ownRanges(isPacked: isPacked)
        return regions.contains { $0.overlaps(any: ranges) }
    }
}

/// A ring as the observer keeps it.
struct KeptRing: Sendable {
    var ring: VhostUserRing
    var kick, call: OwnedDescriptor
    /// The kick while it is drained, which the driver does not have.
    var privateKick: OwnedDescriptor
    /// Whether the embedder wants it to run.
    var isStarted: Bool
    /// Where the back end continues, while it is stopped.
    var base: UInt32
    /// Whether the back end has it stopped: at first, and between draining and restarting it.
    var isStopped = true
    /// Whether the back end left buffers in the ring that it was notified of, when it stopped last.
    var keepsBuffers = false
    /// Where it is parked, because the region around it is exchanged, or is gone.
    var parkedIn: Range<UInt64>?
}
