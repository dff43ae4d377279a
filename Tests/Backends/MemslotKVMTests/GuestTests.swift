import MemslotKVM
import MemslotTestKit
import Memslots
import Testing

extension OnKVM {
    @Suite("guest programs")
    struct GuestTests {
        @Test("a guest counts its rounds and loses no increment", arguments: GuestKind.allCases)
        func counts(kind: GuestKind) throws {
            for codeInRegion in [false, true] {
                let guest = try GuestVM(kind, codeInRegion: codeInRegion)
                try guest.backend.apply(.create(guest.slot()))
                let exit = try guest.run(toRound: 100)
                #expect(guest.isDone(exit), "\(exit)")
                #expect(guest.load(guest.program.rounds) == 100)
                #expect(guest.wrongPages == [])
                #expect(guest.isDone(try guest.run(toRound: 150)))
                #expect(guest.load(guest.program.number(in: 7)) == 150)
            }
        }

        @Test(
            "a hole in the region causes MMIO exits and lost increments",
            arguments: GuestKind.allCases)
        func hole(kind: GuestKind) throws {
            let guest = try GuestVM(kind)
            try guest.backend.apply(.create(guest.slot(count: 8)))
            try guest.backend.apply(.create(guest.slot(id: 2, first: 9, count: 7)))
            var addresses: Set<GuestPhysicalAddress> = []
            var exit = try guest.run(toRound: 3)
            while case .mmio(let access) = exit, !guest.isDone(exit) {
                addresses.insert(access.address)
                if !access.isWrite { guest.vcpu.completeMMIORead(with: 0) }
                exit = try guest.run(toRound: 3)
            }
            #expect(guest.isDone(exit), "\(exit)")
            #expect(addresses == [guest.program.number(in: 8)])
            #expect(guest.wrongPages == [8])
        }

        @Test("unmapped code is an error, not an MMIO exit", arguments: GuestKind.allCases)
        func codeGone(kind: GuestKind) throws {
            let guest = try GuestVM(kind, codeInRegion: true)
            let exit = try guest.run(toRound: 1)
            switch exit {
            case .internalError(let suberror, _): #expect(suberror == 1)
            // At CPL 3 a failed emulation is #UD, and this guest has no handler
            // (handle_emulation_failure in arch/x86/kvm/x86.c).
            case .shutdown where kind == .long: break
            default: Issue.record("left by \(exit)")
            }
        }
    }
}
