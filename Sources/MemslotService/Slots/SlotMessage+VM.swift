internal import MemslotProtocol
internal import Memslots

extension VirtualMachine {
    /// A slot as an answer tells it: by the names of its memory.
    func message(of slot: Memslot, _ memories: MemoryObjects) -> SlotMessage {
        SlotMessage(
            slot, backing: backing(of: slot, memories),
            guestMemfd: slot.guestMemfd.flatMap {
                $0 == .own ? nil : memories.guestMemfd(handle: $0.descriptor)?.name
            })
    }

    /// All of `slots` as an answer tells them.
    func messages(of slots: [Memslot], _ memories: MemoryObjects) -> [SlotMessage] {
        slots.map { message(of: $0, memories) }
    }

    /// Where `offset` bytes into `slot` are.
    func backing(
        of slot: Memslot, at offset: ByteCount = .zero, _ memories: MemoryObjects
    ) -> SlotBacking {
        if let memory = slot.memory, let object = memories[memory.object] {
            let place = ByteCount(memory.offset.rawValue + offset.rawValue)
            return .memory(name: object.name, offset: place)
        }
        return .userspaceAddress(
            UserspaceAddress(slot.userspaceAddress.rawValue + offset.rawValue))
    }

    /// A receipt as an answer tells it.
    func message(of receipt: Receipt, _ memories: MemoryObjects) -> ReceiptMessage {
        ReceiptMessage(
            vm: name, receipt, slots: receipt.slots.map { messages(of: $0, memories) })
    }
}
