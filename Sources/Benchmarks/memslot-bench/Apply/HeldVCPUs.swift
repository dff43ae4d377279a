#if arch(x86_64)
    import CKVM
    import CYardsticks
    import Glibc
    import MemslotKVM
    import MemslotTestKit
    import Memslots
    import Synchronization

    /// What vCPUs do when they are held.
    enum GuestActivity: String, CaseIterable {
        case running = "running"
        case halted = "halted"
        case awaitingSIPI = "waiting for SIPI"
        /// In the VMM, for 5 ms after each exit.
        case handling = "in a long exit handler"

        /// incl 0x2000; jmp back; else cli; hlt; jmp back, or out 0x80, al; jmp back.
        var code: [UInt8] {
            switch self {
            case .running, .awaitingSIPI: [0x66, 0xff, 0x06, 0x00, 0x20, 0xeb, 0xf9]
            case .halted: [0xfa, 0xf4, 0xeb, 0xfc]
            case .handling: [0xe6, 0x80, 0xeb, 0xfc]
            }
        }

        static let handlerMicroseconds: UInt32 = 5_000
    }

    /// A VM with vCPUs that all do the same, held by the project or by C.
    final class HeldVCPUs {
        let vm: VirtualMachine
        let gate = VCPUGate()
        /// The slot of the code; every array must contain it.
        let slot: Memslot
        private let memory: GuestMemory
        private let vcpus: [VCPU]
        private let isCounting: Bool

        /// Without an activity: one vCPU that counts, without interrupt controllers in the kernel.
        init(_ count: Int = 1, _ activity: GuestActivity? = nil) throws {
            isCounting = activity == nil
            let memory = try TransactionBenchmarks.guestMemory(.pages(16))
            memory.write((activity ?? .running).code, at: 0x1000)
            self.memory = memory
            // An id that no array of the benchmark uses.
            slot = Memslot(
                id: 600, guestPhysicalAddress: 0, size: memory.size, userspaceAddress: memory.base)
            let vm = try TransactionBenchmarks.machine()
            self.vm = vm
            // With them in the kernel, a halted vCPU stays there.
            guard activity == nil || ckvm_create_irqchip(vm.descriptor) == 0 else {
                throw BenchmarkError.unavailable("no interrupt controllers in the kernel")
            }
            do {
                vcpus = try (0..<UInt32(count)).map { number in
                    let vcpu = try vm.makeVCPU(id: number)
                    try vcpu.setMode(.real(code: 0x1000, data: 0, extra: 0))
                    try vcpu.setRegisters(VCPURegisters())
                    if activity != nil {
                        let isRunnable: Int32 = activity == .awaitingSIPI ? 0 : 1
                        _ = try valueOfCall(ys_set_runnable(vcpu.descriptor, isRunnable))
                    }
                    return vcpu
                }
            } catch { throw BenchmarkError.unavailable("no vCPU: \(error)") }
        }

        /// Runs the guests and measures `count` times.
        func median(of count: Int, _ round: () throws -> Double) throws -> Double {
            let isOver = Atomic<Bool>(false)
            let guarded = try vcpus.map { GuardedVCPU($0, gate: gate, signal: try KickSignal()) }
            let threads = try guarded.map { vcpu in
                try Workers.start {
                    try? KickSignal().acceptOnCurrentThread()
                    while !isOver.load(ordering: .relaxed), let turn = try? vcpu.run() {
                        if case .interrupted = turn.exit { continue }
                        usleep(GuestActivity.handlerMicroseconds)
                    }
                }
            }
            defer {
                isOver.store(true, ordering: .relaxed)
                for vcpu in guarded { vcpu.kick() }
                for thread in threads { thread.join() }
            }
            return try samples(count, round)
        }

        /// Runs the guests and measures `count` times. In a round C holds them by `hold`, while it
        /// applies regions. `spins`: it waits by a loop alone.
        func medianByC(
            of count: Int, spins: Bool,
            _ round: (_ hold: ([ys_slot]) throws -> ys_blackout) throws -> UInt64
        ) throws -> Double {
            var pages = vcpus.map { Optional($0.sharedPage) }
            guard
                let all = ys_vcpus_make(
                    vm.descriptor, vcpus.map(\.descriptor), &pages, vcpus.count,
                    GuestActivity.handlerMicroseconds, spins ? 1 : 0)
            else { throw BenchmarkError.broken("no memory for C's vCPUs") }
            defer { free(UnsafeMutableRawPointer(all)) }
            try require(ys_vcpus_start(all) == 0, "no thread can be made")
            defer { ys_vcpus_stop(all) }
            return try samples(count) {
                let total = try round { regions in
                    let result = ys_hold(all, regions, regions.count)
                    try require(result.status == 0, "C's call failed: errno \(-result.status)")
                    return result
                }
                return Double(total)
            }
        }

        private func samples(_ count: Int, _ round: () throws -> Double) throws -> Double {
            let samples = try (0..<count).map { _ in
                try waitUntilInside()
                return try round()
            }
            return Spread(samples).median
        }

        /// Waits until vCPUs are where they are held: holding one that is outside takes no time.
        func waitUntilInside() throws {
            guard isCounting else {
                usleep(1_000)
                return
            }
            let before = memory.load(0x2000)
            let start = ys_now()
            while memory.load(0x2000) == before {
                try require(ys_now() - start < 5_000_000_000, "the guest does not run")
            }
        }
    }
#endif
