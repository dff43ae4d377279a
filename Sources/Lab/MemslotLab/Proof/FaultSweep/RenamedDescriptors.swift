import Memslots

// Each VM has guest_memfds of its own, whose descriptors are other numbers than another's.

extension Memslot {
    /// The slot with another descriptor, where it has one of these.
    func renaming(_ descriptors: [Int32: Int32]) -> Memslot {
        guard let binding = guestMemfd, let to = descriptors[binding.descriptor] else {
            return self
        }
        return Memslot(
            id: id == .unassigned ? nil : id, addressSpace: addressSpace,
            guestPhysicalAddress: guestPhysicalAddress, size: size,
            userspaceAddress: userspaceAddress, flags: flags, memory: memory,
            guestMemfd: GuestMemfdBinding(descriptor: to, offset: binding.offset))
    }
}

extension SlotCall {
    /// The call with other descriptors.
    func renaming(_ descriptors: [Int32: Int32]) -> SlotCall {
        switch self {
        case .create(let slot): .create(slot.renaming(descriptors))
        case .delete(let slot): .delete(slot.renaming(descriptors))
        // Slots with a guest_memfd are neither moved nor reflagged.
        case .move, .reflag: self
        }
    }
}

extension MemslotChange {
    /// The change with other descriptors.
    func renaming(_ descriptors: [Int32: Int32]) -> MemslotChange {
        switch self {
        case .added(let slot): .added(slot.renaming(descriptors))
        case .removed(let slot): .removed(slot.renaming(descriptors))
        case .moved, .reflagged: self
        }
    }
}

extension CleanRun {
    /// The run as it goes in a world with these descriptors.
    func renaming(_ descriptors: [Int32: Int32]) -> CleanRun {
        if descriptors.isEmpty { return self }
        var receipt = receipt
        receipt.operations = receipt.operations.map {
            PlannedOperation($0.call.renaming(descriptors), because: $0.reason)
        }
        receipt.slots = receipt.slots?.map { $0.renaming(descriptors) }
        let notes = notes.map {
            RecordingHook.Note(
                hook: $0.hook, phase: $0.phase, change: $0.change.renaming(descriptors),
                generation: $0.generation)
        }
        return CleanRun(
            calls: calls.map { $0.renaming(descriptors) }, reads: reads, notes: notes,
            quiesced: quiesced, receipt: receipt)
    }
}
