internal import MemslotProtocol
internal import Memslots

/// What a VM's slots are called in answers: by the names of their memory, at one moment.
struct SlotNames: Sendable {
    /// The VM's name.
    let vm: String
    let objects: MemoryObjects
    let mappings: NamedMappings
    /// Whether addresses of this process are taken from peers, and told to them.
    let hasRawAddresses: Bool
    /// Whether the VM is the embedding process's own.
    let isEmbedded: Bool
    let tokens: SlotTokens

    /// A slot as an answer tells it.
    func message(of slot: Memslot) -> SlotMessage {
        SlotMessage(
            slot, backing: backing(of: slot), guestMemfd: guestMemfdName(of: slot))
    }

    /// `slots` with their names.
    func messages(of slots: [Memslot]) -> NamedSlots {
        NamedSlots(count: slots.count) { message(of: slots[$0]) }
    }

    /// A receipt as an answer tells it.
    func message(of receipt: Receipt) -> ReceiptMessage {
        ReceiptMessage(vm: vm, receipt, slots: receipt.slots.map { messages(of: $0) })
    }

    /// Where `offset` bytes into `slot` are.
    func backing(of slot: Memslot, at offset: ByteCount = .zero) -> SlotBacking {
        if isOpaque(slot) { return .opaque(tokens.token(of: slot)) }
        if let memory = slot.memory, let name = objects.name(of: memory.object) {
            return .memory(name: name, offset: memory.offset.plus(offset))
        }
        if let (name, start) = mappings.covering(slot) {
            return .memory(name: name, offset: start.plus(offset))
        }
        return .userspaceAddress(
            UserspaceAddress(slot.userspaceAddress.rawValue &+ offset.rawValue))
    }

    /// Whether there is no name for all that is behind `slot`, and no address may be told.
    func isOpaque(_ slot: Memslot) -> Bool {
        if hasRawAddresses {
            // An address may be told, but not that of an object that is gone.
            return slot.memory.map { objects.name(of: $0.object) == nil } ?? false
        }
        if let binding = slot.guestMemfd, binding != .own,
            objects.guestMemfd(handle: binding.descriptor) == nil
        {
            return true
        }
        if let memory = slot.memory, objects.name(of: memory.object) != nil { return false }
        return mappings.covering(slot) == nil
    }

    private func guestMemfdName(of slot: Memslot) -> String? {
        slot.guestMemfd.flatMap {
            $0 == .own ? nil : objects.guestMemfd(handle: $0.descriptor)?.name
        }
    }
}

extension ByteCount {
    /// The sum, for places within a slot that is there, which don't wrap.
    fileprivate func plus(_ other: ByteCount) -> ByteCount {
        ByteCount(rawValue &+ other.rawValue)
    }
}
