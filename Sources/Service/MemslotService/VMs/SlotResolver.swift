internal import MemslotProtocol
internal import Memslots

/// Converts the slots of a request into those of the core: names become addresses, and any number
/// becomes an id.
///
/// Faults of the backing are found here, because names mean nothing to the core. They are passed to
/// the core, so that one list contains all faults in array order.
struct SlotResolver {
    /// The slots for the core.
    private(set) var slots: [Memslot] = []
    /// The faults of the backing, ascending by index.
    private(set) var faults: [Violation] = []

    private let names: SlotNames
    /// The slots of an embedded VM whose backing a reply can't name, by their tokens.
    private var opaque: [String: Memslot] = [:]
    /// How the slots of an embedded VM name their memory, which may be by no object.
    private var references: [UserspaceAddress: MemoryReference?] = [:]
    private var wideIDs = WideNumbers()
    private var wideSpaces = WideNumbers()

    /// Resolves `parameters` by the names of a VM, and by its present slots if it is embedded.
    /// Throws `invalid-params` for members that no slot can have together.
    init(
        _ parameters: [SlotParameters], _ names: SlotNames, present: [Memslot]
    ) throws(ProtocolError) {
        self.names = names
        for slot in names.memory.hasRawAddresses ? [] : present {
            if names.isOpaque(slot) { opaque[names.memory.tokens.token(of: slot)] = slot }
            references[slot.userspaceAddress] = .some(slot.memory)
        }
        slots.reserveCapacity(parameters.count)
        for index in parameters.indices {
            if let token = parameters[index].opaque {
                slots.append(try resolve(opaque: token, of: parameters[index], index))
                continue
            }
            try checkMembers(of: parameters, index)
            resolve(parameters, index)
        }
    }

    /// Records the ranges outside of address space 0, which alone has private memory.
    mutating func checkSpaces(of ranges: [PrivateRangeParameters]) {
        for (index, range) in ranges.enumerated() where range.addressSpace != 0 {
            let slot = Memslot(
                addressSpace: AddressSpaceID(wideSpaces.narrow(range.addressSpace)),
                guestPhysicalAddress: range.guestPhysicalAddress, size: range.size,
                userspaceAddress: 0)
            let detail = "private memory is in address space 0 alone, not in \(range.addressSpace)"
            fault(.badAddressSpace, slot, index, "addressSpace", detail)
            faults[faults.count - 1].list = .attributes
        }
    }

    /// The present slot of a token. Its memory has no name, so the request must not change it.
    private func resolve(
        opaque token: String, of given: SlotParameters, _ index: Int
    ) throws(ProtocolError) -> Memslot {
        guard let slot = opaque[token] else {
            throw Self.fault(
                index, "opaque", "no slot of the present array has this token; read it again")
        }
        let isUnchanged =
            given.slot == UInt64(slot.assignedID.rawValue)
            && given.addressSpace == UInt64(slot.addressSpace.rawValue)
            && given.guestPhysicalAddress == slot.guestPhysicalAddress && given.size == slot.size
            && given.flags == slot.flags && given.userspaceAddress == nil && given.memory == nil
            && given.memoryOffset == nil && given.guestMemfd == nil && given.guestMemfdOffset == nil
        guard isUnchanged else {
            throw Self.fault(
                index, "opaque",
                "the token of the slot \(slot.assignedKey) is accepted only for the unchanged slot")
        }
        return slot
    }

    private static func fault(_ index: Int, _ member: String, _ reason: String) -> ProtocolError {
        .invalid("slots[\(index)].\(member)", reason)
    }

    /// Checks for members that need another one.
    private func checkMembers(of parameters: [SlotParameters], _ index: Int) throws(ProtocolError) {
        let member: String
        let lacks: String
        if parameters[index].guestMemfd != nil && !parameters[index].flags.contains(.guestMemfd) {
            (member, lacks) = ("guestMemfd", "the flag \"guest-memfd\"")
        } else if parameters[index].guestMemfdOffset != nil && parameters[index].guestMemfd == nil {
            (member, lacks) = ("guestMemfdOffset", "\"guestMemfd\"")
        } else if parameters[index].memoryOffset != nil && parameters[index].memory == nil
            && parameters[index].userspaceAddress == nil
        {
            (member, lacks) = ("memoryOffset", "\"memory\"")
        } else {
            return
        }
        throw Self.fault(index, member, "the member means nothing without \(lacks)")
    }

    // By index: copying one of the parameters counts the references to its strings.
    private mutating func resolve(_ parameters: [SlotParameters], _ index: Int) {
        var slot = Memslot(
            id: parameters[index].slot.map { SlotID(wideIDs.narrow($0)) },
            addressSpace: AddressSpaceID(wideSpaces.narrow(parameters[index].addressSpace)),
            guestPhysicalAddress: parameters[index].guestPhysicalAddress,
            size: parameters[index].size,
            userspaceAddress: parameters[index].userspaceAddress ?? UserspaceAddress(0),
            flags: parameters[index].flags)
        var memory: MemoryReference?
        switch (parameters[index].userspaceAddress, parameters[index].memory) {
        case (nil, nil):
            fault(.backingMissing, slot, index, nil, "give userspaceAddress, or memory")
        case (_?, nil):
            if parameters[index].memoryOffset != nil {
                let detail = "memoryOffset goes with memory, not with userspaceAddress"
                fault(.backingAmbiguous, slot, index, "memoryOffset", detail)
            } else if !names.memory.hasRawAddresses {
                let detail = "this VM accepts named memory only; memory.list lists the names"
                fault(.rawAddressRefused, slot, index, "userspaceAddress", detail)
            }
        case (_?, _?):
            fault(
                .backingAmbiguous, slot, index, "memory",
                "userspaceAddress and memory are both given")
        case (nil, let name?):
            if let base = resolve(
                memory: name, at: parameters[index].memoryOffset ?? .zero, slot, index)
            {
                slot.userspaceAddress = base.address
                memory = base.reference
            }
        }
        let named = parameters[index].guestMemfd.flatMap {
            resolve(guestMemfd: $0, at: parameters[index].guestMemfdOffset ?? .zero, slot, index)
        }
        // Memory that is a guest_memfd itself is its own binding, and no other memory's.
        let own = slot.flags.contains(.guestMemfd) ? memory.flatMap(names.objects.binding) : nil
        if let named, named != own,
            own != nil || names.objects.guestMemfd(handle: named.descriptor)?.mapping != nil
        {
            let detail =
                "a shared guest_memfd is the guest's memory and the host's: name it as memory, and "
                + "as guestMemfd at the same offset or not at all"
            fault(.backingAmbiguous, slot, index, "guestMemfd", detail)
        }
        slots.append(
            Memslot(
                id: slot.id, addressSpace: slot.addressSpace,
                guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
                userspaceAddress: slot.userspaceAddress, flags: slot.flags, memory: memory,
                guestMemfd: named ?? own))
    }

    private mutating func resolve(
        memory name: String, at offset: ByteCount, _ slot: Memslot, _ index: Int
    ) -> (address: UserspaceAddress, reference: MemoryReference?)? {
        if let mapping = names.memory.mappings[name] {
            let extent = mapping.listed(as: name)
            guard isWithin(extent, offset, slot, index, "memoryOffset"),
                let address = mapping.address.advanced(by: offset)
            else { return nil }
            // As in the embedder's own slots, so that an array can be submitted as it was read.
            if let known = references[address] { return (address, known) }
            let start = mapping.memory.map {
                MemoryReference(
                    object: $0.object, offset: ByteCount($0.offset.rawValue &+ offset.rawValue))
            }
            return (address, start)
        }
        guard let object = names.objects[name] else {
            // The search for a near name takes time, and the first fault is the one that is read.
            let known = faults.isEmpty ? names.objects.all.map(\.name) : []
            fault(
                .unknownMemory, slot, index, "memory",
                ProtocolError.noMemoryText(name, among: known))
            return nil
        }
        guard let file = object.mapping else {
            let detail = "\"\(name)\" is a guest_memfd; name it as guestMemfd"
            fault(.unknownMemory, slot, index, "memory", detail)
            return nil
        }
        let fits = isWithin(object.listed, offset, slot, index, "memoryOffset")
        guard fits, let address = file.address.advanced(by: offset) else { return nil }
        return (address, MemoryReference(object: object.id, offset: offset))
    }

    private mutating func resolve(
        guestMemfd name: String, at offset: ByteCount, _ slot: Memslot, _ index: Int
    ) -> GuestMemfdBinding? {
        guard let object = names.objects[name], case .guestMemfd(let handle, _) = object.kind else {
            let detail = "there is no guest_memfd \"\(name)\""
            fault(.unknownMemory, slot, index, "guestMemfd", detail)
            return nil
        }
        guard isWithin(object.listed, offset, slot, index, "guestMemfdOffset") else { return nil }
        return GuestMemfdBinding(descriptor: handle, offset: offset)
    }

    /// Validates the part of `object` that a slot uses, and records the faults.
    private mutating func isWithin(
        _ object: ListedMemory, _ offset: ByteCount, _ slot: Memslot, _ index: Int, _ member: String
    ) -> Bool {
        let isGuestMemfd = member == "guestMemfdOffset"
        let errno: Errno? = isGuestMemfd ? .invalidArgument : nil
        let end = offset.rawValue.addingReportingOverflow(slot.size.rawValue)
        var isWithin = true
        if end.overflow || end.partialValue > object.size.rawValue {
            let detail =
                "\(offset) and size \(slot.size) reach past the \(object.size) bytes "
                + "of \"\(object.memory)\""
            fault(.backingOutOfBounds, slot, index, member, detail, errno)
            isWithin = false
        }
        if offset.rawValue % object.pageSize.rawValue != 0 {
            let detail = "\(offset) is not a multiple of \(object.pageSize.rawValue)"
            fault(.backingMisaligned, slot, index, member, detail, errno)
            isWithin = false
        }
        return isWithin
    }

    private mutating func fault(
        _ kind: ViolationKind, _ slot: Memslot, _ index: Int, _ member: String?,
        _ detail: String, _ errno: Errno? = nil
    ) {
        faults.append(
            Violation(kind, of: slot, at: index, member: member, detail: detail, errno: errno))
    }
}

/// Replaces numbers that don't fit the core's 32 bits.
///
/// Each of them is out of range in every VM, but two different numbers must stay different.
private struct WideNumbers {
    private var standIns: [UInt64: UInt32] = [:]

    mutating func narrow(_ number: UInt64) -> UInt32 {
        // Below the value that stands for "no id".
        let lowest = UInt64(UInt32.max) / 2
        if number < lowest { return UInt32(number) }
        if let standIn = standIns[number] { return standIn }
        let standIn = UInt32.max - 1 - UInt32(standIns.count)
        standIns[number] = standIn
        return standIn
    }
}
