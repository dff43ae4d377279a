public import Memslots

/// A part of guest memory as a back end maps it: a run of guest addresses, and the file behind it.
public struct VhostUserRegion: Hashable, Sendable {
    /// The guest address of the first byte.
    public var guestAddress: GuestPhysicalAddress
    /// The size in bytes.
    public var size: ByteCount
    /// The file behind it.
    public var object: MemoryObjectID
    /// The offset of the first byte in the file.
    public var fileOffset: ByteCount

    /// Creates a region.
    public init(
        guestAddress: GuestPhysicalAddress, size: ByteCount, object: MemoryObjectID,
        fileOffset: ByteCount
    ) {
        (self.guestAddress, self.size) = (guestAddress, size)
        (self.object, self.fileOffset) = (object, fileOffset)
    }

    var guestRange: Range<UInt64> { guestAddress.rawValue..<guestAddress.rawValue + size.rawValue }

    /// Returns the part at `range`, which lies within ``guestRange``.
    func part(_ range: Range<UInt64>) -> VhostUserRegion {
        VhostUserRegion(
            guestAddress: GuestPhysicalAddress(range.lowerBound),
            size: ByteCount(range.upperBound - range.lowerBound), object: object,
            fileOffset: ByteCount(fileOffset.rawValue + (range.lowerBound - guestAddress.rawValue)))
    }

    /// Returns whether `next` continues this region in guest memory and in the file.
    func isContinued(by next: VhostUserRegion) -> Bool {
        guestRange.upperBound == next.guestRange.lowerBound && object == next.object
            && fileOffset.rawValue + size.rawValue == next.fileOffset.rawValue
    }

    func overlaps(any ranges: [Range<UInt64>]) -> Bool {
        ranges.contains { $0.overlaps(guestRange) }
    }

    /// The address by which messages name the first byte.
    public var userAddress: UserspaceAddress { Self.userAddress(of: guestAddress) }

    /// Returns the address by which messages name a guest address. A back end only distinguishes
    /// regions and rings by it. It follows from the guest address, so that it is unique, and a ring
    /// keeps its addresses when the region around it is cut.
    static func userAddress(of guest: GuestPhysicalAddress) -> UserspaceAddress {
        UserspaceAddress(1 << 60 | guest.rawValue)
    }
}

extension [VhostUserRegion] {
    /// Appends `region`, or makes the last one longer where `region` continues it.
    mutating func extend(by region: VhostUserRegion) {
        guard let last, last.isContinued(by: region) else { return append(region) }
        self[count - 1].size = ByteCount(last.size.rawValue + region.size.rawValue)
    }
}
