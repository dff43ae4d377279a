#if arch(x86_64)
    import CYardsticks
    import Glibc
    import MemslotKVM
    import Memslots
    import Synchronization

    /// How long a hold lasts with more vCPUs, and with vCPUs that do something else than run.
    enum HoldBenchmarks {
        static let steps = Activity.allCases.flatMap { activity in
            [false, true].map { isLoaded in
                BenchmarkStep(
                    name: "vCPUs \(activity.rawValue)\(isLoaded ? ", busy host" : "")"
                ) { try measure(activity, isLoaded: isLoaded, $0) }
            }
        }

        /// What vCPUs do when they are held.
        enum Activity: String, CaseIterable {
            case running = "running"
            case halted = "halted"
            case awaitingSIPI = "waiting for SIPI"
            /// In the VMM, for 5 ms after each exit.
            case handling = "in a long exit handler"

            /// Else cli; hlt; jmp back, or out 0x80, al; jmp back.
            var code: [UInt8] {
                switch self {
                case .running, .awaitingSIPI: LoopingCode.counting
                case .halted: [0xfa, 0xf4, 0xeb, 0xfc]
                case .handling: [0xe6, 0x80, 0xeb, 0xfc]
                }
            }

            static let handlerMicroseconds: UInt32 = 5_000
        }

        private static func measure(
            _ activity: Activity, isLoaded: Bool, _ effort: Effort
        ) throws -> [BenchmarkRow] {
            let isOver = Atomic<Bool>(false)
            let processors = isLoaded ? sysconf(Int32(_SC_NPROCESSORS_ONLN)) : 0
            let load = try (0..<processors).map { _ in
                try Workers.start { while !isOver.load(ordering: .relaxed) {} }
            }
            defer {
                isOver.store(true, ordering: .relaxed)
                for thread in load { thread.join() }
            }
            return try [1, 2, 4, 8, 16].map { count in
                let ours = try HeldVCPUs(count, activity)
                let c = try HeldVCPUs(count, activity)
                let table = try MemslotTable(backend: try ours.backend(), vcpus: ours.gate)
                _ = try table.measured(ours.array(0))
                try RawCalls(creating: c.array(0)).apply(to: c.vm)
                let name = "\(count) \(count == 1 ? "vCPU" : "vCPUs") \(activity.rawValue)"
                let title = name + (isLoaded ? ", busy host" : "")
                let yardstick = "C: signal, wait, the same call"
                let samples = effort(3, quick: 1)
                var turn = 0
                let contest = try Contest(
                    rounds: effort(7, quick: 1),
                    Contestant(title) {
                        try ours.median(of: samples) {
                            turn += 1
                            let receipt = try table.measured(ours.array(turn), quiesce: .always)
                            return Double(receipt.durations.nanoseconds.blackout)
                        }
                    }, Contestant(yardstick) { try c.medianByC(of: samples) })
                return contest.row(title, against: yardstick, target: .ratioAtMost(1.5))
            }
        }
    }

    /// A VM with vCPUs that all do the same, held by the project or by C.
    private final class HeldVCPUs {
        let vm: VirtualMachine
        let gate = VCPUGate()
        private let code: LoopingCode
        private let vcpus: [VCPU]
        private var turn = 0

        init(_ count: Int, _ activity: HoldBenchmarks.Activity) throws {
            let code = try LoopingCode(activity.code)
            self.code = code
            let vm = try TransactionBenchmarks.machine()
            self.vm = vm
            guard ys_make_irqchip(vm.descriptor) == 0 else {
                throw BenchmarkError.unavailable("no interrupt controllers in the kernel")
            }
            do {
                vcpus = try (0..<UInt32(count)).map { number in
                    let vcpu = try vm.makeVCPU(id: number)
                    try code.begin(vcpu)
                    let isRunnable: Int32 = activity == .awaitingSIPI ? 0 : 1
                    _ = try valueOfCall(ys_set_runnable(vcpu.descriptor, isRunnable))
                    return vcpu
                }
            } catch { throw BenchmarkError.unavailable("no vCPU: \(error)") }
        }

        func backend() throws -> KVMBackend {
            do { return try KVMBackend(adopting: vm, installed: []) } catch {
                throw BenchmarkError.broken("the VM can't be adopted: \(error)")
            }
        }

        /// The code, and a slot at one of two addresses.
        func array(_ turn: Int) -> [Memslot] {
            var moved = code.slot.moved(to: GuestPhysicalAddress(0x4000_0000 << UInt64(turn % 2)))
            moved.id = 601
            return [code.slot, moved]
        }

        func median(of count: Int, _ round: () throws -> Double) throws -> Double {
            let isOver = Atomic<Bool>(false)
            let guarded = try vcpus.map { GuardedVCPU($0, gate: gate, signal: try KickSignal()) }
            let threads = try guarded.map { vcpu in
                try Workers.start {
                    try? KickSignal().acceptOnCurrentThread()
                    while !isOver.load(ordering: .relaxed), let turn = try? vcpu.run() {
                        if case .interrupted = turn.exit { continue }
                        usleep(HoldBenchmarks.Activity.handlerMicroseconds)
                    }
                }
            }
            defer {
                isOver.store(true, ordering: .relaxed)
                for vcpu in guarded { vcpu.kick() }
                for thread in threads { thread.join() }
            }
            return try Self.median(of: count, round)
        }

        func medianByC(of count: Int) throws -> Double {
            var pages = vcpus.map { Optional($0.sharedPage) }
            guard
                let all = ys_vcpus_make(
                    vm.descriptor, vcpus.map(\.descriptor), &pages, vcpus.count,
                    HoldBenchmarks.Activity.handlerMicroseconds)
            else { throw BenchmarkError.broken("no memory for C's vCPUs") }
            defer { free(UnsafeMutableRawPointer(all)) }
            try require(ys_vcpus_start(all) == 0, "no thread can be made")
            defer { ys_vcpus_stop(all) }
            return try Self.median(of: count) {
                turn += 1
                let before = array(turn - 1)[1]
                let call = RawCalls([PlannedOperation(.move(from: before, to: array(turn)[1]))])
                let result = ys_hold(all, call.regions, call.regions.count)
                try require(result.status == 0, "C's call failed: errno \(-result.status)")
                return Double(result.total)
            }
        }

        private static func median(of count: Int, _ round: () throws -> Double) throws -> Double {
            Spread(
                try (0..<count).map { _ in
                    // Time for vCPUs to come where they are held.
                    usleep(1_000)
                    return try round()
                }
            ).median
        }
    }
#endif
