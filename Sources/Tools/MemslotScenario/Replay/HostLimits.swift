internal import MemslotProtocol
internal import Memslots

/// What a host's KVM allows, as `server.info` tells it.
struct HostLimits: Sendable {
    private let maxSlots: UInt32
    private let addressSpaces: UInt32
    private let guestPhysicalBits: UInt32
    private let userspaceEnd: UserspaceAddress
    private let flags: [String]

    /// Reads `backends.kvm.capabilities`; `nil` where it isn't there.
    init?(_ capabilities: JSONValue?) {
        guard let capabilities,
            let maxSlots = capabilities["maxSlots"]?.uint64,
            let addressSpaces = capabilities["addressSpaces"]?.uint64,
            let bits = capabilities["guestPhysicalBits"]?.uint64,
            let end = capabilities["userspaceEnd"]?.string, end.hasPrefix("0x"),
            let userspaceEnd = UInt64(end.dropFirst(2), radix: 16)
        else { return nil }
        self.maxSlots = UInt32(clamping: maxSlots)
        self.addressSpaces = UInt32(clamping: addressSpaces)
        self.guestPhysicalBits = UInt32(clamping: bits)
        self.userspaceEnd = UserspaceAddress(userspaceEnd)
        flags = (capabilities["flags"]?.elements).map { $0.compactMap(\.string) } ?? []
    }

    /// What a VM that a scenario asks for can't have here; `nil` where it can be played.
    ///
    /// A limit that the scenario doesn't ask for, by giving another than the usual one, may
    /// differ: only lines at that limit then do.
    func lack(for asked: SimulatedParameters) -> String? {
        let usual = SimulatedParameters()
        if asked.addressSpaces > addressSpaces {
            return "the host has \(addressSpaces) address space, the VM asks for "
                + "\(asked.addressSpaces)"
        }
        let missing = Self.names(of: asked.flags).filter { !flags.contains($0) }
        if let missing = missing.first { return "the host has no \(missing) slots" }
        if asked.maxSlots != maxSlots, asked.maxSlots != usual.maxSlots {
            return "the host has \(maxSlots) slots, the VM asks for \(asked.maxSlots)"
        }
        if asked.guestPhysicalBits != guestPhysicalBits,
            asked.guestPhysicalBits != usual.guestPhysicalBits
        {
            return "the host has \(guestPhysicalBits) guest physical bits, the VM asks for "
                + "\(asked.guestPhysicalBits)"
        }
        if asked.userspaceEnd != userspaceEnd, asked.userspaceEnd != usual.userspaceEnd {
            return "the host's user space ends at \(userspaceEnd), the VM's at "
                + "\(asked.userspaceEnd)"
        }
        return nil
    }

    /// The kinds of faults that this host finds elsewhere than the VM that was asked for.
    func kindsThatDiffer(from asked: SimulatedParameters) -> Set<String> {
        // KVM's own pages, and a guest_memfd of the slot's own, are never as in a simulator.
        var kinds: Set<ErrorKind> = [.reservedAddress, .guestMemfdMissing]
        if asked.addressSpaces != addressSpaces { kinds.insert(.badAddressSpace) }
        if asked.maxSlots != maxSlots { kinds.formUnion([.slotOutOfRange, .tooManySlots]) }
        if asked.guestPhysicalBits != guestPhysicalBits { kinds.insert(.addressTooLarge) }
        if asked.userspaceEnd != userspaceEnd { kinds.insert(.badUserspaceAddress) }
        return Set(kinds.map(\.name))
    }

    /// The first flag that the host takes and the VM that was asked for doesn't.
    func flag(among given: [String], beyond asked: MemslotFlags) -> String? {
        let names = Self.names(of: asked)
        return given.first { flags.contains($0) && !names.contains($0) }
    }

    private static func names(of flags: MemslotFlags) -> [String] {
        let all: [(MemslotFlags, String)] = [
            (.logDirtyPages, "log-dirty-pages"), (.readOnly, "readonly"),
            (.guestMemfd, "guest-memfd"),
        ]
        return all.filter { flags.contains($0.0) }.map(\.1)
    }
}
