#if arch(x86_64)
    import CYardsticks
    import Glibc
    import Memslots
    import Synchronization

    /// How long a hold lasts with more vCPUs, and with vCPUs that do something else than run.
    enum HoldBenchmarks {
        static let steps = GuestActivity.allCases.flatMap { activity in
            [false, true].map { isLoaded in
                BenchmarkStep(
                    name: "vCPUs \(activity.rawValue)\(isLoaded ? ", busy host" : "")"
                ) { try measure(activity, isLoaded: isLoaded, $0) }
            }
        }

        private static func measure(
            _ activity: GuestActivity, isLoaded: Bool, _ effort: Effort
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
                let table = try TransactionBenchmarks.table(of: ours.vm, ours.gate)
                _ = try table.measured(array(of: ours, 0))
                try RawCalls(creating: array(of: c, 0)).apply(to: c.vm)
                let name = "\(count) \(count == 1 ? "vCPU" : "vCPUs") \(activity.rawValue)"
                let title = name + (isLoaded ? ", busy host" : "")
                let yardstick = "C: signal, wait, the same call"
                let samples = effort(3, quick: 1)
                var (turn, turnOfC) = (0, 0)
                let contest = try Contest(
                    rounds: effort(5, quick: 1),
                    Contestant(title) {
                        try ours.median(of: samples) {
                            turn += 1
                            let wanted = array(of: ours, turn)
                            let receipt = try table.measured(wanted, quiesce: .always)
                            return Double(receipt.durations.nanoseconds.blackout)
                        }
                    },
                    Contestant(yardstick) {
                        try c.medianByC(of: samples, spins: false) { hold in
                            turnOfC += 1
                            let wanted = RawCalls(creating: [array(of: c, turnOfC)[1]])
                            return try hold(wanted.regions).total
                        }
                    })
                return contest.row(title, against: yardstick, target: .ratioAtMost(1.5))
            }
        }

        /// The code, and a slot at one of two addresses.
        private static func array(of vcpus: HeldVCPUs, _ turn: Int) -> [Memslot] {
            var moved = vcpus.slot.moved(to: GuestPhysicalAddress(0x4000_0000 << UInt64(turn % 2)))
            moved.id = 601
            return [vcpus.slot, moved]
        }
    }
#endif
