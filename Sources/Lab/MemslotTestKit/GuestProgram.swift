package import MemslotKVM
package import Memslots

/// A guest that increments a number in each page of a region, or reads it, round and round.
///
/// Each vCPU has numbers of its own, four bytes in each page and a count of its rounds outside of
/// the region. Between two increments no number is more than one ahead of the count, nor behind
/// it: so a lost increment is seen.
package struct GuestProgram: Hashable, Sendable {
    /// Real or long mode.
    package let kind: GuestKind
    /// What it does with the numbers.
    package let access: GuestAccess
    /// Where everything is.
    package let placement: GuestPlacement
    /// Which vCPU it is for, 0 to 63.
    package let vcpu: UInt64
    /// Further guest pages that a long mode guest's page tables map, beside what it needs.
    package let alsoMapped: [Range<GuestPhysicalAddress>]

    /// No code of a guest is longer.
    package static let maxCodeBytes: UInt64 = 64

    /// The port that a real mode guest writes a byte to when its count reaches its limit.
    package static let port: UInt16 = 0x10

    /// Describes a guest.
    ///
    /// - Precondition: `vcpu` is below 64.
    package init(
        kind: GuestKind, access: GuestAccess = .increments, placement: GuestPlacement,
        vcpu: UInt64 = 0, alsoMapped: [Range<GuestPhysicalAddress>] = []
    ) {
        precondition(vcpu < 64, "a line of the status page a vCPU")
        self.kind = kind
        self.access = access
        self.placement = placement
        self.vcpu = vcpu
        self.alsoMapped = alsoMapped
    }

    /// Where the vCPU counts its rounds, 32 bits.
    package var rounds: GuestPhysicalAddress {
        GuestPhysicalAddress(placement.status.rawValue + 64 * vcpu)
    }

    /// Where the host puts the count at which the guest shall leave by itself, 32 bits; it then
    /// goes on. See ``hasReachedLimit(_:)``.
    package var limit: GuestPhysicalAddress { GuestPhysicalAddress(rounds.rawValue + 4) }

    /// Where a guest that reads keeps the sum of all that it has read, 32 bits.
    package var sum: GuestPhysicalAddress { GuestPhysicalAddress(rounds.rawValue + 8) }

    /// Where the vCPU's number in `page` of the region is: 32 bits in long mode, 16 in real.
    package func number(in page: UInt64) -> GuestPhysicalAddress {
        GuestPhysicalAddress(placement.region.rawValue + page * pageSize.rawValue + 4 * vcpu)
    }

    /// Whether `number`, read with the guest stopped, lacks an increment, or has one too many.
    ///
    /// - Parameters:
    ///   - number: what stands in a page.
    ///   - rounds: what stands at ``rounds``.
    package func isWrong(_ number: UInt32, after rounds: UInt32) -> Bool {
        switch kind {
        case .long: number &- rounds > 1
        case .real: UInt16(truncatingIfNeeded: number) &- UInt16(truncatingIfNeeded: rounds) > 1
        }
    }

    /// What must stand in guest memory before the guest runs; the rest must be 0.
    package var image: [GuestImagePiece] {
        let code = GuestImagePiece(address: placement.code, bytes: codeBytes)
        guard kind == .long else { return [code] }
        let page = pageSize.rawValue
        func pages(_ address: GuestPhysicalAddress, _ count: UInt64) -> Range<GuestPhysicalAddress>
        {
            let start = address.rawValue / page * page
            return GuestPhysicalAddress(start)..<GuestPhysicalAddress(start + count * page)
        }
        let tables = IdentityPageTables(
            at: placement.pageTables,
            mapping: [
                pages(placement.region, placement.pageCount), pages(placement.code, 1),
                pages(placement.status, 1), pages(placement.doorbell, 1),
            ] + alsoMapped)
        return [code, GuestImagePiece(address: placement.pageTables, bytes: tables.bytes)]
    }

    private var codeBytes: [UInt8] {
        switch (kind, access) {
        case (.real, .increments): realModeCode
        case (.real, .reads): readingRealModeCode
        case (.long, .increments): longModeCode
        case (.long, .reads): readingLongModeCode
        }
    }

    /// Whether the guest left because its count has reached its limit.
    package func hasReachedLimit(_ exit: VCPUExit) -> Bool {
        switch exit {
        case .port(let access): kind == .real && access.port == Self.port
        case .mmio(let access): kind == .long && access.address == placement.doorbell
        default: false
        }
    }

    #if arch(x86_64)
        /// Puts a vCPU at the program's beginning.
        package func start(_ vcpu: VCPU) throws(Errno) {
            var registers = VCPURegisters()
            let bytes = placement.pageCount * pageSize.rawValue
            switch kind {
            case .real:
                try vcpu.enter(
                    .real(code: placement.code, data: placement.region, extra: rounds))
                registers.rdx = 4 * self.vcpu
                registers.rcx = bytes
            case .long:
                try vcpu.enter(.user(pageTables: placement.pageTables))
                registers.rip = placement.code.rawValue
                registers.rdi = number(in: 0).rawValue
                registers.rcx = placement.pageCount
                registers.rsi = rounds.rawValue
                registers.r8to15[0] = placement.doorbell.rawValue
            }
            try vcpu.setRegisters(registers)
        }
    #endif
}

/// Bytes that must stand in guest memory.
package struct GuestImagePiece: Hashable, Sendable {
    /// Where.
    package let address: GuestPhysicalAddress
    /// What.
    package let bytes: [UInt8]
}

/// Which of the two guests runs.
package enum GuestKind: String, Hashable, Sendable, CaseIterable {
    /// 16-bit real mode. On a nested host without hardware paging KVM's emulator runs it, so
    /// that every access goes through KVM's own lookups.
    case real
    /// 64-bit long mode at privilege level 3, which the processor runs.
    case long
}
