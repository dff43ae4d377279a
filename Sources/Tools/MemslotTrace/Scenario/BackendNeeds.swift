package import Memslots

/// What a simulated backend must offer for a VM's slots, beyond its defaults.
package struct BackendNeeds: Hashable, Sendable {
    /// How many address spaces the slots are in; 1 by default.
    package var addressSpaces: UInt32 = 1
    /// One past the highest slot id; 32764 by default, which is enough on x86.
    package var maxSlots: UInt32 = Capabilities().maxSlots
    /// How many bits a guest physical address has; 52 by default.
    package var guestPhysicalBits: Int = Capabilities().guestPhysicalBits
    /// Where user space ends; by default as on x86-64 with four page-table levels.
    package var userspaceEnd: UserspaceAddress = Capabilities().userspaceEnd
    /// The flags; `log-dirty-pages` and `readonly` by default.
    package var flags: MemslotFlags = Capabilities().flags

    /// The defaults.
    package init() {}

    /// Makes room for `slot`.
    mutating func include(_ slot: Memslot) {
        addressSpaces = max(addressSpaces, slot.addressSpace.rawValue &+ 1)
        maxSlots = max(maxSlots, slot.id.rawValue &+ 1)
        flags.formUnion(slot.flags)
        let last = slot.guestPhysicalEnd.rawValue &- 1
        guestPhysicalBits = max(guestPhysicalBits, UInt64.bitWidth - last.leadingZeroBitCount)
        if let end = slot.userspaceAddress.advanced(by: slot.size), end > userspaceEnd {
            userspaceEnd = Self.userspaceEnds.first { $0 >= end } ?? end
        }
    }

    /// arm64 with 48 and with 52 bits, x86-64 with five levels.
    private static let userspaceEnds: [UserspaceAddress] = [
        UserspaceAddress(rawValue: 1 << 48), UserspaceAddress(rawValue: 1 << 52),
        UserspaceAddress(rawValue: (1 << 56) - 4096),
    ]
}
