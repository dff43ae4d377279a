public import Memslots

/// Why a guest's write is not a write to memory.
public enum TouchError: Error, Hashable, Sendable {
    /// No slot holds `address`: the first hole that the write meets. A range that wraps 2^64
    /// runs into one, and an address space that the VM doesn't have is nothing else.
    case unmapped(address: GuestPhysicalAddress)
    /// `address` is the first byte of the write that meets the read-only slot `slot`.
    case readOnly(address: GuestPhysicalAddress, slot: SlotKey)

    /// The kind string of the wire protocol.
    public var kind: String {
        switch self {
        case .unmapped: "unmapped"
        case .readOnly: "read-only"
        }
    }
}
