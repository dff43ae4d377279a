import Memslots
import Testing

@Suite("slots made from a slot")
struct SlotChangeFunctionTests {
    private let ram = Memslot(
        id: 4, guestPhysicalAddress: 0x10_0000, size: 0x4000, userspaceAddress: 0x7f00_0000_0000,
        flags: [.logDirtyPages])

    @Test("has no spare byte in an array: 64 bytes, one cache line")
    func stride() {
        #expect(MemoryLayout<Memslot>.size == 64)
        #expect(MemoryLayout<Memslot>.stride == 64)
    }

    @Test(
        "a split at the first and at the last page gives one page and the rest",
        arguments: [
            0x10_1000, 0x10_3000,
        ] as [GuestPhysicalAddress])
    func splitAtTheEdges(_ address: GuestPhysicalAddress) throws {
        let (low, high) = ram.split(at: address)
        let offset = ByteCount(address.rawValue - ram.guestPhysicalAddress.rawValue)
        #expect((low.id, high.id) == (4, nil))
        #expect(low.guestPhysicalAddress == ram.guestPhysicalAddress)
        #expect((low.size, high.guestPhysicalAddress) == (offset, address))
        #expect(high.guestPhysicalEnd == ram.guestPhysicalEnd)
        #expect(high.userspaceAddress.rawValue == ram.userspaceAddress.rawValue + offset.rawValue)
        #expect((low.flags, high.flags) == (ram.flags, ram.flags))
        #expect(low.merged(with: high) == ram)
        #expect(high.merged(with: low) == ram)
    }

    @Test("a split of a slot of the last page of the address space has its end there")
    func lastPage() {
        let top = Memslot(
            guestPhysicalAddress: 0xffff_ffff_ffff_d000, size: 0x2000,
            userspaceAddress: 0x7f00_0000_0000)
        let (low, high) = top.split(at: 0xffff_ffff_ffff_e000)
        #expect(low.size == 0x1000)
        #expect(high.guestPhysicalEnd == 0xffff_ffff_ffff_f000)
        #expect(low.merged(with: high) == top)
    }

    @Test("slots that are no neighbours, or differ, do not merge")
    func noMerge() {
        let (low, high) = ram.split(at: 0x10_2000)
        var variants: [Memslot] = [ram, low, high.logging(false), high.moved(to: 0x10_3000)]
        var other = high
        other.addressSpace = AddressSpaceID(1)
        variants.append(other)
        other = high
        other.userspaceAddress.rawValue += 0x1000
        variants.append(other)
        other = high
        other.flags.insert(.readOnly)
        variants.append(other)
        #expect(variants.allSatisfy { low.merged(with: $0) == nil })
        #expect(variants.allSatisfy { $0.merged(with: low) == nil })
    }

    @Test("a slot below the end of the address space does not merge with one at its beginning")
    func wrap() {
        let top = Memslot(
            guestPhysicalAddress: 0xffff_ffff_ffff_f000, size: 0x1000,
            userspaceAddress: 0x7f00_0000_0000)
        let bottom = Memslot(
            guestPhysicalAddress: 0, size: 0x1000, userspaceAddress: 0x7f00_0000_1000)
        #expect(top.merged(with: bottom) == nil)
        #expect(bottom.merged(with: top) == nil)
    }

    @Test("a named memory object and a guest_memfd follow with their offsets")
    func offsets() throws {
        func slot(_ file: GuestMemfdBinding) -> Memslot {
            Memslot(
                id: 4, guestPhysicalAddress: 0x10_0000, size: 0x4000,
                userspaceAddress: 0x7f00_0000_0000, flags: [.guestMemfd], guestMemfd: file)
        }
        let bound = slot(GuestMemfdBinding(descriptor: 9, offset: 0x8000))
        let (low, high) = bound.split(at: 0x10_1000)
        #expect(high.guestMemfd?.offset == 0x9000)
        #expect(low.merged(with: high) == bound)
        let parts = slot(.own).split(at: 0x10_1000)
        #expect(parts.low.merged(with: parts.high) == nil)
    }
}
