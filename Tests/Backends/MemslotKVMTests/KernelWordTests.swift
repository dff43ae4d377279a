import CKVM
import Memslots
import Testing

@testable import MemslotKVM

@Suite("the words of a slot call")
struct KernelWordTests {
    @Test("the address space is in the upper half of the slot word")
    func slotNumber() {
        let key = SlotKey(addressSpace: AddressSpaceID(3), id: SlotID(0x1234))
        #expect(key.kernelWord == 0x3_1234)
        #expect(SlotKey(kernelWord: 0x3_1234) == key)
    }

    @Test("a guest_memfd is passed with its offset")
    func guestMemfd() {
        let slot = Memslot(
            id: SlotID(1), guestPhysicalAddress: GuestPhysicalAddress(0x1000),
            size: ByteCount(0x2000), userspaceAddress: UserspaceAddress(0x7000),
            flags: .guestMemfd,
            guestMemfd: GuestMemfdBinding(descriptor: 9, offset: ByteCount(0x5000)))
        let words = RegionWords(installing: slot)
        #expect(words.guest_memfd == 9)
        #expect(words.guest_memfd_offset == 0x5000)
        #expect(RegionWords(deleting: slot).memory_size == 0)
    }

    @Test("a page past a slot's end is ignored")
    func pagePastTheEnd() {
        var bitmap = DirtyBitmap(pageCount: 65)
        for page in [64, 65, 66, .max] as [UInt64] { bitmap.insertIfInside(page) }
        #expect(bitmap.runs == [64..<65])
    }
}

extension OnKVM {
    @Suite("the kernel's own pages")
    struct ReservedPageTests {
        private func errno(_ backend: KVMBackend, _ address: UInt64) -> Errno? {
            let slot = Memslot(
                id: SlotID(7), guestPhysicalAddress: GuestPhysicalAddress(address),
                size: ByteCount(0x1000), userspaceAddress: UserspaceAddress(0x7f00_0000_0000))
            do throws(Errno) {
                try backend.apply(.create(slot))
                try backend.apply(.delete(slot))
                return nil
            } catch {
                return error
            }
        }

        @Test("have exactly the documented addresses, once a vCPU exists")
        func edges() throws {
            let backend = try KVMBackend(system: KVMSystem())
            let vcpu = try backend.makeVCPU(id: 0)
            let reported = backend.capabilities.reservedRanges
            #expect(reported == ReservedRanges.ownVM)
            #expect(
                reported == [
                    GuestPhysicalAddress(0xfee0_0000)..<GuestPhysicalAddress(0xfee0_1000),
                    GuestPhysicalAddress(0xfeff_c000)..<GuestPhysicalAddress(0xff00_0000),
                ])
            for range in reported {
                let (start, end) = (range.lowerBound.rawValue, range.upperBound.rawValue)
                #expect(errno(backend, start - 0x1000) == nil)
                #expect(errno(backend, end) == nil)
            }
            withExtendedLifetime(vcpu) {}
        }

        @Test("a log that ends within a word is read to its last page")
        func oddLog() throws {
            let backend = try KVMBackend(
                system: KVMSystem(), options: KVMOptions(dirtyLog: .manualInitiallySet))
            let slot = Memslot(
                id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
                size: .pages(65), userspaceAddress: UserspaceAddress(0x7f00_0000_0000),
                flags: .logDirtyPages)
            try backend.apply(.create(slot))
            #expect(try backend.readDirtyLog(of: slot, clear: true).runs == [0..<65])
            #expect(try backend.readDirtyLog(of: slot, clear: true).isEmpty)
        }
    }
}
