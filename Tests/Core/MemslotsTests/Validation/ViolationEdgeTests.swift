import Testing

@testable import Memslots

/// A rule at its edge: the last array that keeps it, and the first that breaks it.
struct Edge: CustomTestStringConvertible, Sendable {
    let kind: ViolationKind
    let member: String
    let errno: Errno?
    let keeps: Memslot
    let breaks: Memslot
    var capabilities = wideCapabilities

    var testDescription: String { "\(kind.rawValue) of \(member)" }
}

private func raw(
    _ id: UInt32 = 0, gpa: UInt64 = 0, size: UInt64 = 4096, hva: UInt64 = 0x1000,
    flags: MemslotFlags = [], space: UInt32 = 0, memory: MemoryReference? = nil,
    guestMemfd: GuestMemfdBinding? = nil
) -> Memslot {
    Memslot(
        id: SlotID(id), addressSpace: AddressSpaceID(space),
        guestPhysicalAddress: GuestPhysicalAddress(gpa), size: ByteCount(size),
        userspaceAddress: UserspaceAddress(hva), flags: flags, memory: memory,
        guestMemfd: guestMemfd)
}

private let lastPage = wideCapabilities.maxGuestPage
private let userEnd = wideCapabilities.userspaceEnd.rawValue
private let unbounded = Capabilities(maxGuestPage: .max, maxPagesPerSlot: .max)
private let reserving = Capabilities(
    reservedRanges: [GuestPhysicalAddress(0xfee0_0000)..<GuestPhysicalAddress(0xfee0_1000)])
private let demanding = Capabilities(flags: [.logDirtyPages, .readOnly, .guestMemfd])
private let file = GuestMemfdBinding(descriptor: 9)

private let edges: [Edge] = [
    Edge(
        kind: .slotOutOfRange, member: "slot", errno: .invalidArgument,
        keeps: raw(32_763), breaks: raw(32_764)),
    Edge(
        kind: .slotOutOfRange, member: "slot", errno: .invalidArgument,
        keeps: raw(0), breaks: raw(.max - 1)),
    Edge(
        kind: .unsupportedFlag, member: "flags", errno: .invalidArgument,
        keeps: raw(flags: [.logDirtyPages, .readOnly]), breaks: raw(flags: [.init(rawValue: 8)])),
    Edge(
        kind: .unsupportedFlag, member: "flags", errno: .invalidArgument,
        keeps: raw(flags: .guestMemfd), breaks: raw(flags: [.guestMemfd, .logDirtyPages])),
    Edge(
        kind: .unsupportedFlag, member: "flags", errno: .invalidArgument,
        keeps: raw(flags: .guestMemfd), breaks: raw(flags: [.guestMemfd, .readOnly])),
    Edge(
        kind: .unsupportedFlag, member: "flags", errno: .invalidArgument,
        keeps: raw(), breaks: raw(flags: .guestMemfd), capabilities: Capabilities()),
    Edge(
        kind: .misalignedSize, member: "size", errno: .invalidArgument,
        keeps: raw(size: 4096), breaks: raw(size: 4095)),
    Edge(
        kind: .zeroSize, member: "size", errno: .invalidArgument,
        keeps: raw(size: 4096), breaks: raw(size: 0)),
    Edge(
        kind: .misalignedAddress, member: "guestPhysicalAddress", errno: .invalidArgument,
        keeps: raw(gpa: 4096), breaks: raw(gpa: 4097)),
    Edge(
        kind: .badUserspaceAddress, member: "userspaceAddress", errno: .invalidArgument,
        keeps: raw(hva: 0), breaks: raw(hva: 1)),
    Edge(
        kind: .badUserspaceAddress, member: "userspaceAddress", errno: .invalidArgument,
        keeps: raw(hva: userEnd - 4096), breaks: raw(hva: userEnd)),
    Edge(
        kind: .badUserspaceAddress, member: "userspaceAddress", errno: .invalidArgument,
        keeps: raw(size: 8192, hva: userEnd - 8192), breaks: raw(hva: 0 &- 4096)),
    Edge(
        kind: .badAddressSpace, member: "addressSpace", errno: .invalidArgument,
        keeps: raw(space: 1), breaks: raw(space: 2)),
    Edge(
        kind: .addressOverflow, member: "guestPhysicalAddress", errno: .invalidArgument,
        keeps: raw(gpa: 0 &- 8192), breaks: raw(gpa: 0 &- 4096), capabilities: unbounded),
    Edge(
        kind: .sizeTooLarge, member: "size", errno: .invalidArgument,
        keeps: raw(size: ((1 << 31) - 1) * 4096), breaks: raw(size: (1 << 31) * 4096)),
    Edge(
        kind: .addressTooLarge, member: "guestPhysicalAddress", errno: .invalidArgument,
        keeps: raw(gpa: lastPage * 4096), breaks: raw(gpa: (lastPage + 1) * 4096)),
    Edge(
        kind: .addressTooLarge, member: "guestPhysicalAddress", errno: .invalidArgument,
        keeps: raw(gpa: (lastPage - 1) * 4096, size: 8192),
        breaks: raw(gpa: lastPage * 4096, size: 8192)),
    Edge(
        kind: .reservedAddress, member: "guestPhysicalAddress", errno: .fileExists,
        keeps: raw(gpa: 0xfedf_f000), breaks: raw(gpa: 0xfedf_f000, size: 8192),
        capabilities: reserving),
    Edge(
        kind: .reservedAddress, member: "guestPhysicalAddress", errno: .fileExists,
        keeps: raw(gpa: 0xfee0_1000), breaks: raw(gpa: 0xfee0_0000), capabilities: reserving),
    Edge(
        kind: .guestMemfdMissing, member: "guestMemfd", errno: .badFileDescriptor,
        keeps: raw(flags: .guestMemfd, guestMemfd: file), breaks: raw(flags: .guestMemfd),
        capabilities: demanding),
    Edge(
        kind: .guestMemfdMissing, member: "guestMemfd", errno: .badFileDescriptor,
        keeps: raw(flags: .guestMemfd, guestMemfd: file),
        breaks: raw(
            flags: .guestMemfd, guestMemfd: GuestMemfdBinding(descriptor: -1, offset: .pages(1))),
        capabilities: demanding),
    Edge(
        kind: .backingMisaligned, member: "guestMemfdOffset", errno: .invalidArgument,
        keeps: raw(
            flags: .guestMemfd, guestMemfd: GuestMemfdBinding(descriptor: 9, offset: .pages(1))),
        breaks: raw(
            flags: .guestMemfd,
            guestMemfd: GuestMemfdBinding(descriptor: 9, offset: ByteCount(4095)))),
    Edge(
        kind: .backingOutOfBounds, member: "guestMemfdOffset", errno: .invalidArgument,
        keeps: raw(
            flags: .guestMemfd,
            guestMemfd: GuestMemfdBinding(descriptor: 9, offset: ByteCount(0 &- 8192))),
        breaks: raw(
            flags: .guestMemfd,
            guestMemfd: GuestMemfdBinding(descriptor: 9, offset: ByteCount(0 &- 4096)))),
    Edge(
        kind: .backingMisaligned, member: "memoryOffset", errno: nil,
        keeps: raw(memory: MemoryReference(object: MemoryObjectID(1), offset: .pages(3))),
        breaks: raw(memory: MemoryReference(object: MemoryObjectID(1), offset: ByteCount(1)))),
    Edge(
        kind: .backingOutOfBounds, member: "memoryOffset", errno: nil,
        keeps: raw(memory: MemoryReference(object: MemoryObjectID(1), offset: .zero)),
        breaks: raw(
            memory: MemoryReference(object: MemoryObjectID(1), offset: ByteCount(0 &- 4096)))),
]

func faults(
    of slots: [Memslot], _ capabilities: Capabilities = wideCapabilities, prior: [Violation] = [],
    limit: Int = 1_024
) -> InvalidArray? {
    ArrayValidator(slots: slots, capabilities: capabilities, prior: prior).faults(limit: limit)
}

@Suite("the edges of the rules")
struct ViolationEdgeTests {
    @Test("a rule is kept up to its edge and broken past it", arguments: edges)
    func edge(_ edge: Edge) throws {
        #expect(faults(of: [edge.keeps], edge.capabilities) == nil)
        let found = try #require(faults(of: [edge.breaks], edge.capabilities))
        #expect(found.count == 1)
        let fault = try #require(found.violations.first)
        #expect(fault.kind == edge.kind)
        #expect(fault.path == "slots[0].\(edge.member)")
        #expect(fault.errno == edge.errno)
        #expect(fault.slot == edge.breaks.id)
        #expect(!fault.detail.isEmpty)
    }

    @Test("slots may touch, and may share pages in different address spaces")
    func overlap() throws {
        #expect(faults(of: [slot(0, at: 0, pages: 2), slot(1, at: 2)]) == nil)
        #expect(faults(of: [slot(0, at: 0), slot(0, at: 0, space: 1)]) == nil)
        let found = try #require(faults(of: [slot(0, at: 0, pages: 2), slot(1, at: 1)]))
        #expect(found.violations.map(\.kind) == [.overlap])
        #expect(found.violations[0].errno == .fileExists)
        #expect(found.violations[0].slot == SlotID(1))
        #expect(found.violations[0].otherSlot == SlotID(0))
        #expect(found.violations[0].index == 1)
    }

    @Test("an id stands once in an address space")
    func duplicate() throws {
        #expect(faults(of: [slot(3, at: 0), slot(3, at: 1, space: 1)]) == nil)
        let found = try #require(
            faults(of: [slot(3, at: 0), slot(1, at: 1), slot(3, at: 2), slot(3, at: 3)]))
        #expect(found.violations.map(\.kind) == [.duplicateSlot, .duplicateSlot])
        #expect(found.violations.map(\.index) == [2, 3])
        #expect(found.violations.map(\.otherIndex) == [0, 0])
        #expect(found.violations.allSatisfy { $0.errno == nil })
    }

    @Test("a part of a guest_memfd is bound once")
    func bound() throws {
        func bind(_ id: UInt32, _ descriptor: Int32, _ page: UInt64) -> Memslot {
            slot(
                id, at: UInt64(id) * 4, pages: 2, flags: .guestMemfd,
                guestMemfd: GuestMemfdBinding(descriptor: descriptor, offset: .pages(page)))
        }
        #expect(faults(of: [bind(0, 5, 0), bind(1, 5, 2), bind(2, 6, 0)]) == nil)
        let found = try #require(faults(of: [bind(0, 5, 0), bind(1, 6, 1), bind(2, 5, 1)]))
        #expect(found.violations.map(\.kind) == [.guestMemfdRangeBound])
        #expect(found.violations[0].otherSlot == SlotID(0))
        #expect(found.violations[0].errno == .invalidArgument)
        // Slots that leave their file out have one each.
        #expect(faults(of: [bind(0, -1, 0), bind(1, -1, 1), bind(2, -1, 1)]) == nil)
    }

    @Test("an address space has room for as many slots as there are ids")
    func crowded() throws {
        let two = Capabilities(maxSlots: 2, addressSpaces: 2)
        let room = [slot(nil, at: 0), slot(nil, at: 1), slot(0, at: 0, space: 1)]
        #expect(faults(of: room, two) == nil)
        let found = try #require(faults(of: room + [slot(nil, at: 2)], two))
        #expect(found.violations.map(\.kind) == [.tooManySlots])
        #expect(found.violations[0].slot == nil)
        #expect(found.violations[0].index == nil)
        #expect(found.violations[0].addressSpace == .main)
        #expect(found.violations[0].path == "slots")
    }

    @Test("a slot without an id breaks no rule by that")
    func unnamed() throws {
        #expect(faults(of: [slot(nil, at: 0), slot(nil, at: 1)]) == nil)
        let found = try #require(faults(of: [slot(nil, at: 0), slot(nil, at: 0)]))
        #expect(found.violations.map(\.kind) == [.overlap])
        #expect(found.violations[0].slot == nil)
        #expect(found.violations[0].otherSlot == nil)
        #expect(found.violations[0].otherIndex == 0)
        #expect(found.violations[0].message.hasPrefix("a slot without id at slots[1]: "))
    }

    @Test("every kind that the core can find has an edge here")
    func complete() {
        let resolvedAbove: Set<ViolationKind> = [
            .backingMissing, .backingAmbiguous, .unknownMemory, .rawAddressRefused,
        ]
        let inOwnTests: Set<ViolationKind> = [
            .overlap, .duplicateSlot, .guestMemfdRangeBound, .tooManySlots,
        ]
        let covered = Set(edges.map(\.kind)).union(resolvedAbove).union(inOwnTests)
        #expect(covered == Set(ViolationKind.allCases))
    }
}
