import Memslots

/// A slot from plain numbers.
func slot(
    _ id: UInt32, _ address: UInt64, _ size: UInt64, hva: UInt64 = 0x7f00_0000_0000,
    flags: MemslotFlags = [], space: UInt32 = 0, memory: MemoryReference? = nil
) -> Memslot {
    Memslot(
        id: SlotID(id), addressSpace: AddressSpaceID(space),
        guestPhysicalAddress: GuestPhysicalAddress(address), size: ByteCount(size),
        userspaceAddress: UserspaceAddress(hva), flags: flags, memory: memory)
}

let mebibyte: UInt64 = 1 << 20
let gibibyte: UInt64 = 1 << 30

/// A small PC: low memory, a read-only ROM, a logged frame buffer, high memory from an object.
let smallPC: [Memslot] = [
    slot(
        3, 4 * gibibyte, 2 * gibibyte,
        memory: MemoryReference(
            object: MemoryObjectID(1), offset: ByteCount(0x8000_0000))),
    slot(0, 0, 0xa0000),
    slot(1, 0xfffc_0000, 0x40000, hva: 0x7fff_0000_0000, flags: .readOnly),
    slot(2, 0xfd00_0000, 16 * mebibyte, hva: 0x7ffe_0000_0000, flags: .logDirtyPages),
]

/// Random valid maps in up to three address spaces, the same for the same seed.
struct RandomMaps: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 2 &+ 1 }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let mixed = (state ^ state >> 31) &* 0x7fb5_d329_728e_a185
        return mixed ^ mixed >> 29
    }

    mutating func map(count: Int) -> [Memslot] {
        var slots: [Memslot] = []
        for space in 0..<UInt32.random(in: 1...3, using: &self) {
            var address: UInt64 = 0
            for id in 0..<UInt32(count) {
                if Bool.random(using: &self) { address += quantity() }
                let size = quantity()
                let flags = MemslotFlags(rawValue: .random(in: 0...7, using: &self))
                slots.append(slot(id, address, size, hva: quantity(), flags: flags, space: space))
                address += size
            }
        }
        return slots.shuffled(using: &self)
    }

    /// A multiple of 4096 below 2^37, small ones as likely as large ones.
    private mutating func quantity() -> UInt64 {
        let bits = UInt64.random(in: 0...24, using: &self)
        return (UInt64.random(in: 0..<1 << bits, using: &self) + 1) << 12
    }
}
