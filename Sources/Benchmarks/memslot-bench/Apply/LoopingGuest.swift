#if arch(x86_64)
    import CYardsticks
    import Glibc
    import MemslotKVM
    import MemslotTestKit
    import Memslots

    /// The code of a guest, which counts forever unless it has another, with its memory.
    struct LoopingCode {
        let memory: GuestMemory
        /// The slot of the code; every array must contain it.
        let slot: Memslot
        /// The offset of the number that the guest counts.
        static let counter: UInt64 = 0x2000

        /// incl 0x2000; jmp back.
        static let counting: [UInt8] = [0x66, 0xff, 0x06, 0x00, 0x20, 0xeb, 0xf9]

        init(_ code: [UInt8] = counting) throws {
            memory = try TransactionBenchmarks.guestMemory(.pages(16))
            // An id that no array of the benchmark uses.
            slot = Memslot(
                id: 600, guestPhysicalAddress: 0, size: memory.size, userspaceAddress: memory.base)
            memory.write(code, at: 0x1000)
        }

        /// Makes the guest begin at the code.
        func begin(_ vcpu: VCPU) throws {
            do {
                try vcpu.setMode(.real(code: 0x1000, data: 0, extra: 0))
                try vcpu.setRegisters(VCPURegisters())
            } catch { throw BenchmarkError.broken("the guest can't be set up: \(error)") }
        }
    }

    /// A KVM VM with one vCPU whose guest counts forever.
    final class LoopingGuest {
        let backend: KVMBackend
        let gate = VCPUGate()
        var codeSlot: Memslot { code.slot }
        private let code: LoopingCode
        private let vcpu: GuardedVCPU
        private var thread: OwnThread?

        /// Creates the guest. It runs after ``start()``, once its slots are installed.
        init() throws {
            code = try LoopingCode()
            backend = try TransactionBenchmarks.backend()
            do {
                vcpu = GuardedVCPU(
                    try backend.makeVCPU(id: 0), gate: gate, signal: try KickSignal())
            } catch { throw BenchmarkError.unavailable("no vCPU: \(error)") }
            try code.begin(vcpu.vcpu)
        }

        func start() throws {
            let vcpu = vcpu
            thread = try Workers.start {
                try? KickSignal().acceptOnCurrentThread()
                while let turn = try? vcpu.run() { if turn.requests.contains(.embedder) { return } }
            }
        }

        /// Waits until the guest counts, because holding a vCPU that is outside takes no time.
        func waitUntilInside() throws {
            let before = code.memory.load(LoopingCode.counter)
            let start = ys_now()
            while code.memory.load(LoopingCode.counter) == before {
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

    /// A VM whose vCPU C holds.
    final class YardstickMachine {
        let vm: VirtualMachine
        private let code: LoopingCode
        private let vcpu: VCPU
        private let machine: OpaquePointer

        init() throws {
            code = try LoopingCode()
            vm = try TransactionBenchmarks.machine()
            do { vcpu = try vm.makeVCPU(id: 0) } catch {
                throw BenchmarkError.unavailable("no vCPU: \(error)")
            }
            try code.begin(vcpu)
            // Unsafe: the address of the counter in a mapping that lives as long as this object.
            let counter = UnsafeRawPointer(
                bitPattern: UInt(code.memory.base.rawValue + LoopingCode.counter))
            guard
                let machine = ys_machine_make(
                    vm.descriptor, vcpu.descriptor, vcpu.sharedPage, counter)
            else { throw BenchmarkError.broken("no memory for C's vCPU") }
            self.machine = machine
            try RawCalls(creating: [code.slot]).apply(to: vm)
        }

        deinit { free(UnsafeMutableRawPointer(machine)) }

        /// Holds the vCPU while the operations are applied; in nanoseconds.
        func blackOut(_ calls: [ys_region]) throws -> (total: Double, calls: Double) {
            let result = ys_black_out(machine, calls, calls.count)
            try require(
                result.status == 0,
                "a slot call under C's blackout failed: errno \(-result.status)")
            return (Double(result.total), Double(result.calls))
        }

        /// Runs the guest and measures it `count` times.
        func median(of count: Int, _ round: () throws -> Double) throws -> Double {
            try require(ys_machine_start(machine) == 0, "no thread can be made")
            defer { ys_machine_stop(machine) }
            return Spread(try (0..<count).map { _ in try round() }).median
        }
    }
#endif
