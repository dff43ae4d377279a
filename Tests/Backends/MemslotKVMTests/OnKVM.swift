import MemslotKVM
import MemslotTestKit
import Memslots
import Testing

/// The tests that need `/dev/kvm`, one after another.
@Suite(
    "on /dev/kvm", .serialized,
    .enabled(
        if: KVMSystem.unavailability() == nil,
        "\(KVMSystem.unavailability()?.description ?? "KVM opens")"))
enum OnKVM {}

/// A VM with a guest's low memory and region, and the guest's host pages.
struct GuestVM {
    let backend: KVMBackend
    let memory: GuestMemory
    let program: GuestProgram
    let vcpu: VCPU

    static let region = GuestPhysicalAddress(0x4000_0000)
    let pages: UInt64

    init(
        _ kind: GuestKind, access: GuestAccess = .increments, pages: UInt64 = 16,
        options: KVMOptions = KVMOptions(), codeInRegion: Bool = false
    ) throws {
        self.pages = pages
        let placement = GuestPlacement(
            region: Self.region, pageCount: pages, codeInRegion: codeInRegion)
        self.backend = try KVMBackend(system: KVMSystem(), options: options)
        self.program = GuestProgram(kind: kind, access: access, placement: placement)
        self.memory = try GuestMemory(
            size: .pages(GuestPlacement.lowBytes.pageCount + pages))
        try backend.apply(
            .create(
                Memslot(
                    id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
                    size: GuestPlacement.lowBytes, userspaceAddress: memory.base)))
        self.vcpu = try backend.makeVCPU(id: 0)
        for piece in program.image { memory.write(piece.bytes, at: offset(of: piece.address)) }
        try program.start(vcpu)
    }

    /// A slot over `count` pages of the region.
    func slot(
        id: UInt32 = 1, first: UInt64 = 0, count: UInt64? = nil, flags: MemslotFlags = []
    ) throws -> Memslot {
        let start = ByteCount.pages(first)
        let host = ByteCount.pages(GuestPlacement.lowBytes.pageCount + first)
        return Memslot(
            id: SlotID(id), guestPhysicalAddress: try #require(Self.region.advanced(by: start)),
            size: .pages(count ?? pages),
            userspaceAddress: try #require(memory.base.advanced(by: host)),
            flags: flags)
    }

    /// The offset of a guest address in the memory.
    func offset(of address: GuestPhysicalAddress) -> UInt64 {
        address < Self.region
            ? address.rawValue
            : address.rawValue - Self.region.rawValue + GuestPlacement.lowBytes.rawValue
    }

    func load(_ address: GuestPhysicalAddress) -> UInt32 { memory.load(offset(of: address)) }

    /// Runs the guest until it has completed `count` rounds in all.
    func run(toRound count: UInt32) throws -> VCPUExit {
        memory.store(count, offset(of: program.limit))
        while true {
            let exit = try vcpu.run()
            guard exit == .dirtyRingFull else {
                return exit
            }
            try backend.collectDirtyRings(afterFullRingOf: vcpu.descriptor)
        }
    }

    /// The pages whose number lacks an increment, or has one too many. Call with the guest stopped.
    var wrongPages: [UInt64] {
        let rounds = load(program.rounds)
        return (0..<pages).filter {
            let ahead = load(program.number(in: $0)) &- rounds
            switch program.kind {
            case .long: return ahead > 1
            case .real: return UInt16(truncatingIfNeeded: ahead) > 1
            }
        }
    }

    /// Whether the guest reports by this exit that it has completed its rounds.
    func isDone(_ exit: VCPUExit) -> Bool { program.hasReachedLimit(exit) }
}
