#if arch(x86_64)
    import CYardsticks
    import MemslotScenario
    import MemslotTestKit
    import Memslots

    /// How long a guest is held. One runs at a time: on few processors others would slow it.
    enum BlackoutBenchmarks {
        static let steps = [
            BenchmarkStep(name: "blackout of a running vCPU") { effort in
                let empty = try emptyBlackout()
                let c = try HeldVCPUs()
                try RawCalls(creating: [c.slot]).apply(to: c.vm)
                let memory = try TransactionBenchmarks.guestMemory(SlotChange.bytes)
                return [try measureEmpty(empty, c, effort)]
                    + (try SlotChange.all(base: memory.base.rawValue)
                        .map { try measure($0, empty, c, effort) })
            }
        ]

        private static let project = "empty blackout"
        private static let spinning = "C, spinning"

        private typealias MedianOf = (_ count: Int) throws -> Double

        /// Measures how long a guest is held under a table whose backend does nothing.
        private static func emptyBlackout() throws -> MedianOf {
            let guest = try HeldVCPUs()
            try RawCalls(creating: [guest.slot]).apply(to: guest.vm)
            let table = try MemslotTable(backend: OfflineBackend(Capabilities()), vcpus: guest.gate)
            let (before, after) = ([guest.slot], [guest.slot.logging(true)])
            _ = try table.measured(before)
            return { count in
                try guest.median(of: count) {
                    // Only the way there is measured: the way back ends logging and harvests the log.
                    try guest.blackout(of: table, to: after, back: before)
                }
            }
        }

        private static func measureEmpty(
            _ empty: @escaping MedianOf, _ c: HeldVCPUs, _ effort: Effort
        ) throws -> BenchmarkRow {
            let count = effort(25, quick: 3)
            let contest = try Contest(
                rounds: effort(25, quick: 5), Contestant(project) { try empty(count) },
                Contestant(spinning) {
                    try c.medianByC(of: count, spins: true) { try $0([]).total }
                })
            return contest.row(project, against: spinning, target: .ratioAtMost(1.5))
        }

        /// Compares the blackout of a transaction with an empty one plus the same operations in C.
        private static func measure(
            _ change: SlotChange, _ empty: @escaping MedianOf, _ c: HeldVCPUs, _ effort: Effort
        ) throws -> BenchmarkRow {
            let guest = try HeldVCPUs()
            let table = try TransactionBenchmarks.table(of: guest.vm, guest.gate)
            let before = change.before + [guest.slot]
            let after = change.after + [guest.slot]
            _ = try table.measured(before)
            let there = RawCalls(try table.measured(after, quiesce: .always).operations)
            let back = RawCalls(try table.measured(before, quiesce: .always).operations)
            try RawCalls(creating: change.before).apply(to: c.vm)

            let name = "blackout: \(change.name)"
            let yardstick = "empty blackout + C's calls"
            let count = effort(5, quick: 1)
            let contest = try Contest(
                rounds: effort(21, quick: 3),
                Contestant(name) {
                    try guest.median(of: count) {
                        try guest.blackout(of: table, to: after, back: before)
                    }
                },
                Contestant(yardstick) {
                    let calls = try c.medianByC(of: count, spins: true) { hold in
                        let calls = try hold(there.regions).calls
                        try c.waitUntilInside()
                        _ = try hold(back.regions)
                        return calls
                    }
                    return calls + (try empty(count))
                })
            try RawCalls(deleting: change.before).apply(to: c.vm)
            return contest.row(
                name, slots: SlotChange.count, against: yardstick, target: .ratioAtMost(1.05))
        }
    }

    extension HeldVCPUs {
        /// Submits two arrays; returns the nanoseconds for which the first held the vCPU.
        func blackout(
            of table: MemslotTable, to there: [Memslot], back: [Memslot]
        ) throws -> Double {
            let receipt = try table.measured(there, quiesce: .always)
            try waitUntilInside()
            _ = try table.measured(back, quiesce: .always)
            return Double(receipt.durations.nanoseconds.blackout)
        }
    }
#endif
