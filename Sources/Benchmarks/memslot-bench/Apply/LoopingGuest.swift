#if arch(x86_64)
    import CYardsticks
    import Glibc
    import MemslotKVM
    import MemslotTestKit
    import Memslots

    /// A KVM VM with one vCPU whose guest counts forever.
    final class LoopingGuest {
        let backend: KVMBackend
        let gate = VCPUGate()
        /// The slot of the guest's code; every array must contain it.
        let codeSlot: Memslot
        private let memory: GuestMemory
        private let vcpu: GuardedVCPU
        private var thread: OwnThread?

        /// Creates the guest. It runs after ``start()``, once its slots are installed.
        init() throws {
            memory = try TransactionBenchmarks.guestMemory(.pages(16))
            backend = try TransactionBenchmarks.backend()
            codeSlot = Memslot(
                id: SlotID(600), guestPhysicalAddress: GuestPhysicalAddress(0),
                size: memory.size, userspaceAddress: memory.base)
            // again: incl 0x2000; jmp again
            memory.write([0x66, 0xff, 0x06, 0x00, 0x20, 0xeb, 0xf9], at: 0x1000)
            do {
                vcpu = GuardedVCPU(
                    try backend.makeVCPU(id: 0), gate: gate, signal: try KickSignal())
            } catch {
                throw BenchmarkError.unavailable("no vCPU: \(error)")
            }
            do {
                try vcpu.vcpu.setMode(
                    .real(
                        code: GuestPhysicalAddress(0x1000), data: GuestPhysicalAddress(0),
                        extra: GuestPhysicalAddress(0)))
                try vcpu.vcpu.setRegisters(VCPURegisters())
            } catch {
                throw BenchmarkError.broken("the guest can't be set up: \(error)")
            }
        }

        func start() throws {
            let vcpu = vcpu
            thread = try Workers.start {
                try? KickSignal().acceptOnCurrentThread()
                while let turn = try? vcpu.run() {
                    if turn.requests.contains(.embedder) { return }
                }
            }
        }

        /// Waits until the guest counts, because holding a vCPU that is outside takes no time.
        func waitUntilInside() throws {
            let before = memory.load(0x2000)
            let start = ys_now()
            while memory.load(0x2000) == before {
                try require(ys_now() - start < 5_000_000_000, "the guest does not run")
            }
        }

        func stop() {
            guard let thread else { return }
            vcpu.kick()
            thread.join()
            self.thread = nil
        }

        deinit { stop() }
    }

    /// The vCPU that C holds.
    final class YardstickMachine {
        private let machine: OpaquePointer
        /// The VM's descriptor.
        var vm: Int32 { ys_machine_vm(machine) }

        init() throws {
            var status: Int32 = 0
            guard let machine = ys_machine_make(&status) else {
                throw BenchmarkError.unavailable("no vCPU: errno \(-status)")
            }
            self.machine = machine
        }

        deinit { ys_machine_end(machine) }

        /// Holds the vCPU while the operations are applied; in nanoseconds.
        func blackOut(
            _ calls: [ys_region], spins: Bool
        ) throws -> (total: Double, calls: Double) {
            let result = ys_black_out(machine, calls, calls.count, spins ? 1 : 0)
            try require(
                result.status == 0,
                "a slot call under C's blackout failed: errno \(-result.status)")
            return (Double(result.total), Double(result.calls))
        }

        /// Runs the guest and measures it `count` times.
        func median(of count: Int, _ round: () throws -> Double) throws -> Double {
            ys_machine_go_on(machine)
            defer { ys_machine_rest(machine) }
            return Spread(try (0..<count).map { _ in try round() }).median
        }
    }
#endif
