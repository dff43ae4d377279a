public import Memslots

extension JSONWriter {
    /// Writes a list of flags, in the kernel's order.
    public mutating func flags(_ flags: MemslotFlags) {
        beginArray()
        if flags.contains(.logDirtyPages) { staticString("log-dirty-pages") }
        if flags.contains(.readOnly) { staticString("readonly") }
        if flags.contains(.guestMemfd) { staticString("guest-memfd") }
        endArray()
    }

    /// Writes a slot's id; of another address space than 0, `{"addressSpace":1,"slot":0}`.
    public mutating func slotKey(_ slot: SlotKey) {
        if slot.addressSpace == .main {
            integer(UInt64(slot.id.rawValue))
        } else {
            beginObject()
            key("addressSpace")
            integer(UInt64(slot.addressSpace.rawValue))
            key("slot")
            integer(UInt64(slot.id.rawValue))
            endObject()
        }
    }

    /// Writes a list of slot ids.
    public mutating func slotKeys(_ slots: [SlotKey]) {
        beginArray()
        for slot in slots { slotKey(slot) }
        endArray()
    }

    /// Writes the members `slot` and, where it is not 0, `addressSpace`, of an open object.
    public mutating func members(of slot: SlotKey) {
        key("slot")
        integer(UInt64(slot.id.rawValue))
        if slot.addressSpace != .main {
            key("addressSpace")
            integer(UInt64(slot.addressSpace.rawValue))
        }
    }

    /// Writes a slot with exactly the members that a request gives it.
    ///
    /// - Parameters:
    ///   - slot: the slot. Its own userspace address and memory are not told: `backing` is.
    ///   - backing: the backing, as this peer may know it.
    ///   - guestMemfd: the name of its guest_memfd; `nil` where it has none or one of its own.
    public mutating func slot(
        _ slot: Memslot, backing: SlotBacking, guestMemfd: String? = nil
    ) {
        beginObject()
        members(of: slot.key)
        key("guestPhysicalAddress")
        address(slot.guestPhysicalAddress.rawValue)
        key("size")
        address(slot.size.rawValue)
        members(of: backing)
        key("flags")
        flags(slot.flags)
        if let guestMemfd {
            key("guestMemfd")
            string(guestMemfd)
            key("guestMemfdOffset")
            address(slot.guestMemfd?.offset.rawValue ?? 0)
        }
        endObject()
    }

    /// Writes the members that a backing has, of an open object.
    public mutating func members(of backing: SlotBacking) {
        switch backing {
        case .userspaceAddress(let address):
            key("userspaceAddress")
            self.address(address.rawValue)
        case .memory(let name, let offset):
            key("memory")
            string(name)
            key("memoryOffset")
            address(offset.rawValue)
        case .opaque(let token):
            key("opaque")
            string(token)
        }
    }

    /// Writes what a VM's backend allows.
    public mutating func capabilities(_ capabilities: Capabilities) {
        beginObject()
        key("maxSlots")
        integer(UInt64(capabilities.maxSlots))
        key("addressSpaces")
        integer(UInt64(capabilities.addressSpaces))
        key("guestPhysicalBits")
        integer(capabilities.guestPhysicalBits)
        key("userspaceEnd")
        address(capabilities.userspaceEnd.rawValue)
        key("maxPagesPerSlot")
        integer(capabilities.maxPagesPerSlot)
        key("flags")
        flags(capabilities.flags)
        endObject()
    }
}

/// How an answer names the memory behind a slot.
public enum SlotBacking: Hashable, Sendable {
    /// By its address in the service: for simulated VMs.
    case userspaceAddress(UserspaceAddress)
    /// By a named memory object.
    case memory(name: String, offset: ByteCount)
    /// By a token: a slot of an embedded VM that no named memory covers.
    case opaque(String)
}
