import MemslotKVM
import MemslotTestKit
import Memslots
import Testing

extension OnKVM {
    @Suite("one guest_memfd for guest and host")
    struct SharedGuestMemfdTests {
        private func shared(_ guest: GuestVM) throws -> SharedGuestMemfd {
            guard guest.backend.kernel.sharesGuestMemfd else {
                try Test.cancel("no KVM_CAP_GUEST_MEMFD_FLAGS with both flags (Linux 6.18)")
            }
            return try SharedGuestMemfd(of: guest.backend.vm, size: .pages(guest.pages))
        }

        private func page(_ number: UInt64) throws -> GuestPhysicalAddress {
            try #require(GuestVM.region.advanced(by: .pages(number)))
        }

        @Test(
            "each sees what the other writes, in any slots of it, and an ordinary slot may log it",
            arguments: GuestKind.allCases)
        func oneMemory(kind: GuestKind) throws {
            let guest = try GuestVM(kind)
            let memory = try shared(guest)
            let table = try MemslotTable(backend: guest.backend, installed: [guest.lowSlot])
            func number(in page: Int) -> UInt32 {
                memory.bytes.load(fromByteOffset: page * 4096, as: UInt32.self)
            }
            memory.bytes.storeBytes(of: 700, toByteOffset: 3 * 4096, as: UInt32.self)
            let whole = memory.slot(id: 1, at: GuestVM.region)
            try table.submit([guest.lowSlot, whole])
            #expect(guest.isDone(try guest.run(toRound: 10)))
            #expect([number(in: 3), number(in: 12)] == [710, 10])

            // In two slots, the first of which has the id of before: one deletion, two creations.
            let low = memory.slot(id: 1, at: GuestVM.region, size: .pages(8))
            let high = memory.slot(id: 2, at: try page(8), offset: .pages(8))
            let receipt = try table.submit([guest.lowSlot, low, high])
            #expect(receipt.operations.count == 3)
            #expect(guest.isDone(try guest.run(toRound: 20)))
            #expect([number(in: 3), number(in: 12)] == [720, 20])

            let plain = Memslot(
                id: 1, guestPhysicalAddress: GuestVM.region, size: .pages(16),
                userspaceAddress: whole.userspaceAddress, flags: .logDirtyPages)
            try table.submit([guest.lowSlot, plain])
            #expect(guest.isDone(try guest.run(toRound: 30)))
            #expect([number(in: 3), number(in: 12)] == [730, 30])
            #expect(try guest.backend.readDirtyLog(of: plain, clear: true).count == 16)
        }

        @Test("what the kernel would refuse is refused by name")
        func refused() throws {
            let guest = try GuestVM(.real)
            let memory = try shared(guest)
            let table = try MemslotTable(backend: guest.backend, installed: [guest.lowSlot])
            let low = memory.slot(id: 1, at: GuestVM.region, size: .pages(8))
            try table.submit([guest.lowSlot, low])
            func kinds(_ slots: Memslot...) -> [ViolationKind] {
                do throws(SubmitError) { try table.submit([guest.lowSlot] + slots) } catch {
                    if case .invalid(let array) = error { return array.violations.map(\.kind) }
                }
                return []
            }
            for flag in [MemslotFlags.logDirtyPages, .readOnly] {
                var slot = low
                slot.flags.insert(flag)
                #expect(kinds(slot) == [.unsupportedFlag])
            }
            let twice = memory.slot(id: 2, at: try page(8), offset: .pages(7), size: .page)
            #expect(kinds(low, twice) == [.guestMemfdRangeBound])
            #expect(table.snapshot().generation == Generation(1))
            #expect(kinds(low, memory.slot(id: 2, at: try page(8), offset: .pages(8))) == [])
            #expect(table.snapshot().generation == Generation(2))
        }

        @Test("a VM without the capability is named, and the kernel is not asked for memory")
        func lacking() throws {
            // A memfd answers no KVM_CHECK_EXTENSION, as a kernel without the capability.
            let memory = try GuestMemory(size: .page)
            let vm = VirtualMachine(adopting: memory.descriptor, system: try KVMSystem())
            #expect(throws: KVMError.unsupportedOption(missing: .guestMemfdFlags)) {
                try SharedGuestMemfd(of: vm, size: .page)
            }
        }
    }
}
