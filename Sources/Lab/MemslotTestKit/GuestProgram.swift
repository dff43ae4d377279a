package import MemslotKVM
package import Memslots

/// A guest that increments or reads a number in each page of a region in a loop. Each vCPU has four
/// bytes in each page, and a count of its rounds elsewhere. Between two increments each number
/// equals the count or is one ahead, which reveals a lost increment.
package struct GuestProgram: Hashable, Sendable {
    package let kind: GuestKind
    package let access: GuestAccess
    package let placement: GuestPlacement
    /// The vCPU that runs it, 0 to 63.
    package let vcpu: UInt64

    /// The port that a real mode guest writes a byte to when its count reaches its limit.
    package static let port: UInt16 = 0x10

    /// `vcpu` must be below 64.
    package init(
        kind: GuestKind, access: GuestAccess = .increments, placement: GuestPlacement,
        vcpu: UInt64 = 0
    ) {
        precondition(vcpu < 64, "a line of the status page a vCPU")
        (self.kind, self.access, self.placement, self.vcpu) = (kind, access, placement, vcpu)
    }

    /// Where the vCPU counts its rounds, 32 bits.
    package var rounds: GuestPhysicalAddress { status(64 * vcpu) }
    /// Where the host writes the count at which the guest exits once, 32 bits.
    package var limit: GuestPhysicalAddress { status(64 * vcpu + 4) }
    /// Where a guest that reads keeps the sum of the numbers, 32 bits.
    package var sum: GuestPhysicalAddress { status(64 * vcpu + 8) }
    /// Where a witness keeps the ticket from before its last access that found memory, 32 bits.
    package var lastFound: GuestPhysicalAddress { status(64 * vcpu + 12) }
    /// The ticket from after a witness's first access that found none, 32 bits. The host writes 0.
    package var firstMissing: GuestPhysicalAddress { status(64 * vcpu + 16) }
    /// Where an ``GuestAccess/ordered`` guest counts its rounds in system management mode, and the
    /// tags that were below the one before, 32 bits. The last tag is in between.
    package var managementRounds: GuestPhysicalAddress { status(64 * vcpu + 20) }
    package var staleTags: GuestPhysicalAddress { status(64 * vcpu + 28) }
    /// Where the next ticket of all witnesses is: the last word of the status page, 32 bits.
    private var tickets: GuestPhysicalAddress { status(pageSize.rawValue - 4) }

    private func status(_ offset: UInt64) -> GuestPhysicalAddress {
        GuestPhysicalAddress(placement.status.rawValue + offset)
    }

    /// Where the vCPU's number in `page` of the region is: 32 bits in long mode and in address
    /// space 1, where the guest is in system management mode; 16 in real mode.
    package func number(in page: UInt64, space: UInt64 = 0) -> GuestPhysicalAddress {
        GuestPhysicalAddress(
            placement.region.rawValue + page * placement.stride + Self.numbers * space + 4 * vcpu)
    }

    /// The bytes that the numbers of an address space have in a page.
    package static let numbers: UInt64 = 256

    /// Where the processor saves its state in system management mode, less 0xfe00, and executes the
    /// mode's code, less 0x8000: code is in page `vcpu` of the region behind the numbers, and the
    /// state in the page eight later, before what would be the code.
    package var managementBase: UInt64 {
        placement.region.rawValue + GuestPlacement.codeOffset + vcpu * pageSize.rawValue - 0x8000
    }

    /// The contents of guest memory before the guest runs; the rest must be 0.
    package var image: [(address: GuestPhysicalAddress, bytes: [UInt8])] {
        guard kind == .long else { return [(placement.code, code)] }
        func pages(
            _ address: GuestPhysicalAddress, _ count: UInt64 = 1
        ) -> Range<GuestPhysicalAddress> {
            let start = GuestPhysicalAddress(address.pageNumber * pageSize.rawValue)
            return start..<GuestPhysicalAddress(start.rawValue + count * pageSize.rawValue)
        }
        let region = pages(placement.region, placement.pageCount * placement.stride / 4_096)
        let isLarge = placement.stride > pageSize.rawValue
        let tables = IdentityPageTables(
            at: placement.pageTables,
            mapping: [pages(placement.code), pages(placement.status), pages(placement.doorbell)]
                + (isLarge ? [] : [region])
                + (access == .ordered ? [pages(GuestPlacement.tag)] : []),
            large: isLarge ? [region] : [])
        return [(placement.code, code), (placement.pageTables, tables.bytes)]
    }

    /// Whether the guest exited because its count reached its limit.
    package func hasReachedLimit(_ exit: VCPUExit) -> Bool {
        switch exit {
        case .port(let access): kind == .real && access.port == Self.port
        case .mmio(let access): kind == .long && access.address == placement.doorbell
        default: false
        }
    }

    #if arch(x86_64)
        package func start(_ vcpu: VCPU) throws(Errno) {
            var registers = VCPURegisters()
            let bytes = placement.pageCount * placement.stride
            switch kind {
            case .real:
                try vcpu.setMode(.real(code: placement.code, data: placement.region, extra: rounds))
                registers.rdx = 4 * self.vcpu
                registers.rcx = bytes
                registers.rdi = tickets.rawValue - rounds.rawValue
                if access == .ordered {
                    registers.rdi = GuestPlacement.tag.rawValue - placement.region.rawValue
                }
            case .long:
                try vcpu.setMode(.user(pageTables: placement.pageTables))
                registers.rip = placement.code.rawValue
                registers.rdi = number(in: 0).rawValue
                registers.rcx = placement.pageCount
                registers.rsi = rounds.rawValue
                registers.r8 = placement.doorbell.rawValue
                registers.r9 = tickets.rawValue
                registers.r10 = GuestPlacement.tag.rawValue
            }
            try vcpu.setRegisters(registers)
        }
    #endif
}

package enum GuestKind: String, Hashable, Sendable, CaseIterable {
    /// Real mode. On a nested host without hardware paging, KVM emulates it, with its own lookups.
    case real
    /// 64-bit long mode at privilege level 3, run by the processor.
    case long
}
