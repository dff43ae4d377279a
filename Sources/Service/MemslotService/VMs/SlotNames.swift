internal import MemslotProtocol
internal import Memslots

/// The names of a VM's memory at one moment, for the slots in replies.
struct SlotNames: Sendable {
    let memory: VMMemory
    let objects: MemoryObjects

    var vm: String { memory.vm }

    func message(of slot: Memslot) -> SlotMessage {
        let guestMemfd = slot.guestMemfd.flatMap {
            $0 == .own ? nil : objects.guestMemfd(handle: $0.descriptor)?.name
        }
        return SlotMessage(slot, backing: backing(of: slot), guestMemfd: guestMemfd)
    }

    func messages(of slots: [Memslot]) -> NamedSlots {
        NamedSlots(count: slots.count) { message(of: slots[$0]) }
    }

    func message(of receipt: Receipt) -> ReceiptMessage {
        ReceiptMessage(
            vm: vm, receipt, slots: receipt.hasPickedIDs ? messages(of: receipt.slots) : nil)
    }

    func backing(of slot: Memslot, at offset: ByteCount = .zero) -> SlotBacking {
        if isOpaque(slot) { return .opaque(memory.tokens.token(of: slot)) }
        if let memory = slot.memory, let name = objects.name(of: memory.object) {
            return .memory(name: name, offset: memory.offset.plus(offset))
        }
        if let (name, start) = memory.mappings.covering(slot) {
            return .memory(name: name, offset: start.plus(offset))
        }
        return .userspaceAddress(
            UserspaceAddress(slot.userspaceAddress.rawValue &+ offset.rawValue))
    }

    /// Whether no name covers the memory of `slot`, and its address must not be sent.
    func isOpaque(_ slot: Memslot) -> Bool {
        if memory.hasRawAddresses {
            // Addresses are sent, but not those of a destroyed object.
            return slot.memory.map { objects.name(of: $0.object) == nil } ?? false
        }
        if let binding = slot.guestMemfd, binding != .own,
            objects.guestMemfd(handle: binding.descriptor) == nil
        {
            return true
        }
        if let memory = slot.memory, objects.name(of: memory.object) != nil { return false }
        return memory.mappings.covering(slot) == nil
    }
}

extension ByteCount {
    /// The sum, for places within a present slot, which does not wrap.
    fileprivate func plus(_ other: ByteCount) -> ByteCount { ByteCount(rawValue &+ other.rawValue) }
}
