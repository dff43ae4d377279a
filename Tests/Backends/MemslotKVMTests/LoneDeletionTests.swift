#if arch(x86_64)
    import MemslotKVM
    import MemslotTestKit
    import Memslots
    import Testing

    extension OnKVM {
        @Suite("a deletion alone, beside a running guest")
        struct LoneDeletionTests {
            private let signal: KickSignal

            init() throws { signal = try KickSignal() }

            private func run(
                _ guest: GuestVM, _ gate: VCPUGate,
                onTurn: @escaping @Sendable (VCPUExit, KickRequests) -> Bool = { _, _ in true }
            ) -> RunningVCPU {
                RunningVCPU(
                    GuardedVCPU(guest.vcpu, gate: gate, signal: signal), signal: signal,
                    onTurn: onTurn)
            }

            @Test(
                "of its code and page tables ends it, and nothing waits",
                arguments: GuestKind.allCases)
            func codeAndPageTables(kind: GuestKind) throws {
                let guest = try GuestVM(kind)
                let gate = VCPUGate()
                let table = try guest.table([guest.slot()], vcpus: gate)
                let vcpu = run(guest, gate) { exit, _ in exit == .interrupted }
                guest.awaitRounds(of: guest.program, 2)
                let receipt = try table.submit([guest.slot()])
                #expect(!receipt.quiesced && receipt.holdReason == nil)
                #expect(receipt.durations.blackout == .zero)
                let exits = vcpu.join()
                switch exits.last {
                case .shutdown, .internalError: break
                default: #expect(vcpu.error != nil, "left by \(exits)")
                }
            }

            @Test(
                "of another slot loses no dirty page, with any kind of log",
                arguments: [DirtyLogMode.clearedByReading, .manual, .ring(bytes: 65_536)],
                GuestKind.allCases)
            func dirtyPages(mode: DirtyLogMode, kind: GuestKind) throws {
                let guest = try GuestVM(kind, options: KVMOptions(dirtyLog: mode))
                let gate = VCPUGate()
                let logged = try guest.slot(flags: .logDirtyPages)
                let spare = Memslot(
                    id: SlotID(7), guestPhysicalAddress: GuestPhysicalAddress(0x8000_0000),
                    size: .pages(1), userspaceAddress: guest.memory.base)
                let table = try guest.table([logged], vcpus: gate)
                let vcpu = run(guest, gate) { exit, _ in
                    if exit == .dirtyRingFull {
                        try? guest.backend.collectDirtyRings(
                            afterFullRingOf: guest.vcpu.descriptor)
                    }
                    return true
                }
                for _ in 0..<20 {
                    #expect(try !table.submit([guest.lowSlot, logged, spare]).quiesced)
                    _ = try table.dirtyLog(of: logged, clear: true)
                    let before = (0..<guest.pages).map { guest.load(guest.program.number(in: $0)) }
                    guest.awaitRounds(of: guest.program, 2)
                    #expect(try !table.submit([guest.lowSlot, logged]).quiesced)
                    let written = (0..<guest.pages).filter {
                        guest.load(guest.program.number(in: $0)) != before[Int($0)]
                    }
                    let bits = try table.dirtyLog(of: logged).bitmap
                    #expect(written.allSatisfy { page in bits.runs.contains { $0.contains(page) } })
                    #expect(written.count == Int(guest.pages))
                }
                #expect(vcpu.end().allSatisfy { $0 == .dirtyRingFull })
                #expect(guest.wrongPages == [])
            }
        }
    }
#endif
