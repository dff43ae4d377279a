internal import Memslots

/// What an embedded VM has, for slots of a request that stand for what is there.
struct PresentSlots {
    private var byToken: [String: Memslot] = [:]
    private var references: [UserspaceAddress: MemoryReference?] = [:]

    /// Looks `slots` up by what answers call them.
    init(_ slots: [Memslot], _ names: SlotNames) {
        for slot in slots {
            if names.isOpaque(slot) { byToken[names.tokens.token(of: slot)] = slot }
            references[slot.userspaceAddress] = .some(slot.memory)
        }
    }

    /// The slot that `token` stands for.
    func opaque(_ token: String) -> Memslot? { byToken[token] }

    /// How the slots there name the memory at `address`: perhaps by no object; `nil` if none is
    /// there.
    func memory(at address: UserspaceAddress) -> MemoryReference?? { references[address] }
}
