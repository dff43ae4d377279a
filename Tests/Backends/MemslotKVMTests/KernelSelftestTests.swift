import Foundation
import MemslotKVM
import MemslotTestKit
import Memslots
import Synchronization
import Testing

extension OnKVM {
    /// The kernel's selftests that need a guest (tools/testing/selftests/kvm), with transactions. The
    /// originals allow an MMIO exit between two calls; within a transaction there is none.
    @Suite("the kernel's own tests, tightened")
    struct KernelSelftestTests {
        private let signal: KickSignal
        private let gate = VCPUGate()

        init() throws { self.signal = try KickSignal() }

        /// Both guests, with the quirk that drops all mappings on and off.
        static let guests: [(GuestKind, keepsOtherMappings: Bool)] =
            GuestKind.allCases.flatMap { [($0, false), ($0, true)] }

        private func guest(
            _ kind: GuestKind, _ keeps: Bool, access: GuestAccess = .increments,
            pages: UInt64 = 16
        ) throws -> GuestVM {
            if try keeps && !KVMBackend(system: KVMSystem()).kernel.canKeepOtherMappings {
                try Test.cancel("the kernel has no KVM_X86_QUIRK_SLOT_ZAP_ALL (Linux 6.12)")
            }
            return try GuestVM(
                kind, access: access, pages: pages,
                options: KVMOptions(keepsOtherMappings: keeps))
        }

        private func run(_ vcpu: VCPU) -> RunningVCPU {
            RunningVCPU(GuardedVCPU(vcpu, gate: gate, signal: signal), signal: signal)
        }

        /// A page of other memory at the region's address.
        private func other(_ memory: GuestMemory, id: UInt32) -> Memslot {
            Memslot(
                id: SlotID(id), guestPhysicalAddress: GuestVM.region, size: .pages(1),
                userspaceAddress: memory.base)
        }

        @Test("set_memory_region_test: a slot in use is moved away (P7)", arguments: guests)
        func moveInUse(kind: GuestKind, keeps: Bool) throws {
            let guest = try guest(kind, keeps, access: .reads, pages: 1)
            let replacement = try GuestMemory(size: .pages(1))
            replacement.store(1, 0)
            let value = guest.offset(of: guest.program.number(in: 0))
            guest.memory.store(1, value)
            let slot = try guest.slot(id: 10)
            var moved = slot
            moved.guestPhysicalAddress = GuestPhysicalAddress(
                GuestVM.region.rawValue - pageSize.rawValue)
            let table = try guest.table([slot], vcpus: gate)
            let vcpu = run(guest.vcpu)
            for _ in 0..<10 {
                guest.awaitRounds(of: guest.program)
                let away = [guest.lowSlot, moved, other(replacement, id: 11)]
                let receipt = try table.submit(away)
                #expect(receipt.diff.moved.count == 1)
                // After the move the guest does not read its value.
                guest.memory.store(2, value)
                guest.awaitRounds(of: guest.program, 2)
                guest.memory.store(1, value)
                try table.submit([guest.lowSlot, slot])
            }
            #expect(vcpu.end() == [])
            // Every value that was read was 1.
            let (sum, rounds) = (guest.load(guest.program.sum), guest.load(guest.program.rounds))
            #expect(rounds >= 20)
            #expect(sum &- rounds <= 1, "\(sum) of \(rounds)")
        }

        @Test(
            "set_memory_region_test: a slot in use is deleted and created again (P8)",
            arguments: guests)
        func deleteInUse(kind: GuestKind, keeps: Bool) throws {
            let guest = try guest(kind, keeps, access: .reads, pages: 1)
            let zeros = try GuestMemory(size: .pages(1))
            guest.memory.store(1, guest.offset(of: guest.program.number(in: 0)))
            let table = try guest.table([guest.slot(id: 10)], vcpus: gate)
            let vcpu = run(guest.vcpu)
            for _ in 0..<10 {
                guest.awaitRounds(of: guest.program, 2)
                #expect(guest.load(guest.program.sum) > 0)
                let receipt = try table.submit([guest.lowSlot, other(zeros, id: 10)])
                #expect(receipt.operations.map(\.call.name) == ["delete", "create"])
                // A value that it read before may not have been added to the sum yet.
                guest.awaitRounds(of: guest.program, 2)
                let sum = guest.load(guest.program.sum)
                guest.awaitRounds(of: guest.program, 2)
                #expect(guest.load(guest.program.sum) == sum)
                try table.submit([guest.lowSlot, guest.slot(id: 10)])
                while guest.load(guest.program.sum) == sum { sched_yield() }
            }
            #expect(vcpu.end() == [])
            // Without code and page tables the guest cannot run. It leaves; or, with nested paging at
            // level 3, it never does: KVM injects a page fault, whose handler is in no slot either, and
            // that fault the next (Linux 6.1, 6.12 and 7.3 on SVM). Then only kicks end KVM_RUN.
            try table.submit([])
            let rounds = guest.load(guest.program.rounds)
            let left = Locked<(turns: Int, exit: VCPUExit?)>((0, nil))
            let stuck = RunningVCPU(
                GuardedVCPU(guest.vcpu, gate: gate, signal: signal), signal: signal
            ) { exit, _ in
                left.withLock {
                    $0.turns += 1
                    if exit != .interrupted { $0.exit = exit }
                    return exit == .interrupted
                }
            }
            if kind == .real {
                _ = stuck.join()
            } else {
                // Pauses, in which the guest runs as far as it can.
                while left.withLock({ $0.turns < 20 && $0.exit == nil }) {
                    usleep(1_000)
                    stuck.guarded.kick()
                }
                _ = stuck.end()
            }
            #expect(stuck.error == nil)
            #expect(guest.load(guest.program.rounds) == rounds)
            switch left.withLock({ $0.exit }) {
            case .shutdown, .internalError: break
            case nil: #expect(kind == .long)
            case let exit?: Issue.record("left by \(exit)")
            }
        }

        @Test(
            "memslot_modification_stress_test: a slot beside the region is created and deleted (P9)",
            arguments: guests)
        func modificationStress(kind: GuestKind, keeps: Bool) throws {
            for isHeld in [true, false] {
                let guest = try guest(kind, keeps)
                let (other, program) = try guest.anotherVCPU(1)
                let table = try guest.table(
                    [guest.slot()], vcpus: isHeld ? gate : VCPUGate())
                let vcpus = [run(guest.vcpu), run(other)]
                let present = table.snapshot().array.slots
                let dummy = Memslot(
                    id: SlotID(7),
                    guestPhysicalAddress: GuestPhysicalAddress(
                        GuestVM.region.rawValue - pageSize.rawValue),
                    size: .pages(1), userspaceAddress: guest.memory.base)
                for _ in 0..<10 {
                    for program in [guest.program, program] { guest.awaitRounds(of: program) }
                    try table.submit(present + [dummy])
                    try table.submit(present)
                }
                #expect(vcpus.flatMap { $0.end() } == [], "held \(isHeld)")
                #expect(guest.wrongPages == [])
            }
        }

        @Test("memslot_perf_test: the area in use is moved, and replaced (P12)", arguments: guests)
        func moveActiveArea(kind: GuestKind, keeps: Bool) throws {
            let guest = try guest(kind, keeps)
            let below = try guest.slot(id: 1, count: 12)
            let last = try guest.slot(id: 2, first: 12, count: 4)
            var away = last
            away.guestPhysicalAddress = GuestPhysicalAddress(0x5000_0000)
            let table = try guest.table([below, last], vcpus: gate)
            let vcpu = run(guest.vcpu)
            for _ in 0..<50 {
                guest.awaitRounds(of: guest.program)
                let replacement = try guest.slot(id: 3, first: 12, count: 4)
                try table.submit([guest.lowSlot, below, away, replacement])
                guest.awaitRounds(of: guest.program)
                try table.submit([guest.lowSlot, below, last])
            }
            #expect(vcpu.end() == [])
            #expect(guest.wrongPages == [])
        }

        @Test("memslot_perf_test: an area that is not in use is moved (P13)", arguments: guests)
        func moveInactiveArea(kind: GuestKind, keeps: Bool) throws {
            for isHeld in [true, false] {
                let guest = try guest(kind, keeps)
                let used = try guest.slot()
                var idle = try guest.slot(id: 2)
                idle.guestPhysicalAddress = used.guestPhysicalEnd
                var away = idle
                away.guestPhysicalAddress = GuestPhysicalAddress(0x5000_0000)
                let table = try guest.table(
                    [used, idle], vcpus: isHeld ? gate : VCPUGate())
                let vcpu = run(guest.vcpu)
                for _ in 0..<50 {
                    guest.awaitRounds(of: guest.program)
                    try table.submit([guest.lowSlot, used, away])
                    try table.submit([guest.lowSlot, used, idle])
                }
                // Not even without a hold: the guest does not use the slot.
                #expect(vcpu.end() == [], "held \(isHeld)")
                #expect(guest.wrongPages == [])
            }
        }

        @Test("memslot_perf_test: host and guest write and check in turn (P14)", arguments: guests)
        func readWrite(kind: GuestKind, keeps: Bool) throws {
            let guest = try guest(kind, keeps)
            let table = try guest.table([guest.slot()], vcpus: gate)
            let turns = DispatchSemaphore(value: 0)
            let goOn = DispatchSemaphore(value: 0)
            let isEnding = Atomic<Bool>(false)
            let isFailing = Atomic<Bool>(false)
            let program = guest.program
            // Set before the guest runs, so that it is not past it.
            guest.memory.store(500, guest.offset(of: program.limit))
            let vcpu = RunningVCPU(
                GuardedVCPU(guest.vcpu, gate: gate, signal: signal), signal: signal
            ) { exit, _ in
                guard program.hasReachedLimit(exit) else { return true }
                turns.signal()
                goOn.wait()
                return !isEnding.load(ordering: .relaxed)
            }
            let changer = Thread { [guest] in
                var turn: UInt64 = 0
                while !isEnding.load(ordering: .relaxed) {
                    turn += 1
                    let cuts = turn % 2 == 0 ? [] : [1 + turn % 15]
                    guard let slots = try? guest.pieces(cuts), table.refusal(of: slots) == nil
                    else {
                        isFailing.store(true, ordering: .relaxed)
                        break
                    }
                }
                turns.signal()
            }
            var wrong: [String] = []
            changer.start()
            for turn in 1...20 as ClosedRange<UInt32> {
                guard turns.wait(timeout: .now() + 30) == .success else {
                    wrong.append("turn \(turn) has no end")
                    break
                }
                // The guest has stopped. All its writes have arrived, and it continues from the values
                // that are written now.
                let rounds = guest.load(program.rounds)
                for page in 0..<guest.pages {
                    let address = program.number(in: page)
                    let number = guest.load(address)
                    if number != rounds { wrong.append("turn \(turn), page \(page)") }
                    guest.memory.store(number, guest.offset(of: address))
                }
                guest.memory.store(rounds &+ 500, guest.offset(of: program.limit))
                // Changes continue while the guest runs.
                while table.snapshot().generation < Generation(UInt64(turn)),
                    !isFailing.load(ordering: .relaxed)
                {
                    sched_yield()
                }
                goOn.signal()
            }
            isEnding.store(true, ordering: .relaxed)
            goOn.signal()
            turns.wait()
            let exits = vcpu.end().filter { !program.hasReachedLimit($0) }
            #expect(exits == [])
            #expect(wrong == [])
            let hasFailed = isFailing.load(ordering: .relaxed)
            #expect(!hasFailed)
        }
    }
}
