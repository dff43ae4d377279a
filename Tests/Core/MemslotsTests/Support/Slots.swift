import Memslots

/// A slot in whole pages, to keep tables in tests short.
///
/// - Parameters:
///   - id: `nil` lets the table pick one.
///   - page: the guest page at which it begins.
///   - pages: how many pages it has.
///   - host: the page of user memory at which its backing begins; by default one of its own.
func slot(
    _ id: UInt32?, at page: UInt64, pages: UInt64 = 1, host: UInt64? = nil,
    flags: MemslotFlags = [], space: UInt32 = 0, memory: MemoryReference? = nil,
    guestMemfd: GuestMemfdBinding? = nil
) -> Memslot {
    Memslot(
        id: id.map { SlotID($0) },
        addressSpace: AddressSpaceID(space),
        guestPhysicalAddress: GuestPhysicalAddress(page * 4096),
        size: .pages(pages),
        userspaceAddress: UserspaceAddress((host ?? (0x10_0000 + UInt64(id ?? 0) * 0x100)) * 4096),
        flags: flags,
        memory: memory,
        guestMemfd: guestMemfd)
}

extension Memslot {
    /// The same slot at guest page `page`.
    func at(_ page: UInt64) -> Memslot {
        var slot = self
        slot.guestPhysicalAddress = GuestPhysicalAddress(page * 4096)
        return slot
    }

    /// The same slot with other flags.
    func with(_ flags: MemslotFlags) -> Memslot {
        var slot = self
        slot.flags = flags
        return slot
    }
}

extension [Memslot] {
    var byKey: [Memslot] { sorted { $0.assignedKey < $1.assignedKey } }
}

/// Capabilities with everything switched on: two address spaces, guest_memfd.
let wideCapabilities = Capabilities(
    addressSpaces: 2, flags: [.logDirtyPages, .readOnly, .guestMemfd], providesGuestMemfd: true)
