import MemslotSimulator
import Memslots
import Testing

/// The cases of the kernel's set_memory_region_test that need no guest.
/// Source: tools/testing/selftests/kvm/set_memory_region_test.c.
@Suite("the kernel's own selftests")
struct KernelSelftestTests {
    let mebibyte: UInt64 = 1 << 20
    let base: UInt64 = 0xc000_0000

    func region(
        _ slot: UInt32, flags: UInt32 = 0, at address: UInt64, size: UInt64,
        host: UInt64 = 0, guestMemfd: RawGuestMemfd? = nil, offset: UInt64 = 0
    ) -> RawRegion {
        RawRegion(
            slot: slot, flags: flags, guestPhysicalAddress: address, memorySize: size,
            userspaceAddress: host, guestMemfd: guestMemfd, guestMemfdOffset: offset)
    }

    @Test("P3a: the older call refuses each flag but its two", arguments: 0..<32)
    func oldFlags(bit: UInt32) {
        let vm = SimulatedRawVM()
        let answer = vm.setUserMemoryRegion(
            region(0, flags: 1 << bit, at: 0, size: 2 * mebibyte))
        #expect(answer == (bit < 2 ? nil : .invalidArgument))
    }

    @Test("P3b: the newer call refuses each flag but its three", arguments: 0..<32)
    func newFlags(bit: UInt32) {
        let vm = SimulatedRawVM()
        let answer = vm.setUserMemoryRegion(
            region(0, flags: 1 << bit, at: 0, size: 2 * mebibyte, guestMemfd: .file(index: 0)))
        #expect(answer == (bit < 3 ? nil : .invalidArgument))
    }

    @Test("P3c: guest-memfd combines with no other flag", arguments: [5, 6, 7] as [UInt32])
    func flagCombinations(flags: UInt32) {
        let vm = SimulatedRawVM()
        let words = region(
            0, flags: flags, at: 0, size: 2 * mebibyte, guestMemfd: .file(index: 0))
        #expect(vm.setUserMemoryRegion(words) == .invalidArgument)
    }

    @Test("P4: every id can have a slot, and the next is refused")
    func capacity() {
        let vm = SimulatedRawVM()
        var refused: [UInt32] = []
        for id in 0...UInt32(32_764) {
            let address = UInt64(id) * 2 * mebibyte
            let words = region(
                id, at: address, size: 2 * mebibyte, host: 0x7000_0000_0000 + address)
            if vm.setUserMemoryRegion(words) != nil { refused.append(id) }
        }
        #expect(refused == [32_764])
        #expect(vm.kernel.slotCount == 32_764)
    }

    @Test("P5: a descriptor that is no guest_memfd of this VM is EINVAL, and so is each odd offset")
    func badGuestMemfd() {
        let vm = SimulatedRawVM()
        func errno(of kind: RawGuestMemfd, offset: UInt64 = 0) -> Errno? {
            vm.setUserMemoryRegion(
                region(10, flags: 4, at: base, size: 4 * mebibyte, guestMemfd: kind, offset: offset)
            )
        }
        for kind in [RawGuestMemfd.kvm, .vm, .memfd, .otherVM] {
            #expect(errno(of: kind) == .invalidArgument)
        }
        #expect(errno(of: .none) == .badFileDescriptor)
        let odd = (1...4095).filter {
            errno(of: .file(index: 0), offset: UInt64($0)) != .invalidArgument
        }
        #expect(odd.isEmpty)
        #expect(errno(of: .file(index: 0)) == nil)
    }

    @Test("P6: an overlap of guest pages is checked before the file's range")
    func overlappingPrivateSlots() {
        let vm = SimulatedRawVM()
        func create(_ id: UInt32, at address: UInt64, offset: UInt64 = 0) -> Errno? {
            vm.setUserMemoryRegion(
                region(
                    id, flags: 4, at: address, size: 4 * mebibyte,
                    guestMemfd: .file(index: 0), offset: offset))
        }
        #expect(create(10, at: base) == nil)
        #expect(create(11, at: 2 * base, offset: 4 * mebibyte) == nil)
        let deletion = region(10, flags: 4, at: base, size: 0, guestMemfd: RawGuestMemfd.none)
        #expect(vm.setUserMemoryRegion(deletion) == nil)
        #expect(create(10, at: 2 * base - 2 * mebibyte) == .fileExists)
        #expect(create(10, at: 2 * base + 2 * mebibyte) == .fileExists)
        // The refused calls left the range free.
        #expect(create(10, at: base) == nil)
        // Now it is bound.
        #expect(create(12, at: 3 * base) == .invalidArgument)
    }
}
