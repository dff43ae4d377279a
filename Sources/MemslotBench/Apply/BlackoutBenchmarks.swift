#if arch(x86_64)
    import CYardsticks
    import MemslotGuests
    import MemslotKVM
    import Memslots

    /// How long a running guest is held out.
    enum BlackoutBenchmarks {
        static let steps = [
            BenchmarkStep("blackout of a running vCPU") { effort throws(BenchmarkError) in
                let empty = try EmptyBlackout()
                let c = try YardstickMachine()
                let memory = try TransactionBenchmarks.guestMemory(SlotChange.bytes)
                var rows = try measureEmpty(empty, c, effort)
                for change in SlotChange.all(base: memory.base.rawValue) {
                    rows += try measure(change, empty, c, effort)
                }
                return rows
            }
        ]

        private static let project = "empty blackout"
        private static let spinning = "C, spinning"
        private static let waiting = "C, waiting by futex"

        private static func measureEmpty(
            _ empty: EmptyBlackout, _ c: YardstickMachine, _ effort: Effort
        ) throws(BenchmarkError) -> [BenchmarkRow] {
            let contest = try Contest(
                rounds: effort(501, quick: 11),
                [
                    Contestant(project) { () throws(BenchmarkError) in try empty.round() },
                    Contestant(spinning) { () throws(BenchmarkError) in
                        try c.blackOut([], spins: true).total
                    },
                    Contestant(waiting) { () throws(BenchmarkError) in
                        try c.blackOut([], spins: false).total
                    },
                ])
            return [
                contest.row(project, against: spinning, target: .ratioAtMost(1.5)),
                contest.row(project, against: waiting),
            ]
        }

        /// A transaction's blackout, held against an empty one and the same calls under C's.
        private static func measure(
            _ change: SlotChange, _ empty: EmptyBlackout, _ c: YardstickMachine, _ effort: Effort
        ) throws(BenchmarkError) -> [BenchmarkRow] {
            let guest = try LoopingGuest()
            let table = try TransactionBenchmarks.table(guest.backend, vcpus: guest.gate)
            let before = change.before + [guest.codeSlot]
            let after = change.after + [guest.codeSlot]
            _ = try table.measured(before)
            try guest.start()
            defer { guest.stop() }
            let there = RawCalls(
                try table.measured(after, quiesce: .always).operations)
            let back = RawCalls(try table.measured(before, quiesce: .always).operations)
            try RawCalls(creating: change.before).carryOut(on: c.vm)

            let name = "blackout: \(change.name)"
            let yardstick = "empty blackout + C's calls"
            let contest = try Contest(
                rounds: effort(101, quick: 5),
                [
                    Contestant(name) { () throws(BenchmarkError) in
                        let receipt = try table.measured(after, quiesce: .always)
                        _ = try table.measured(before, quiesce: .always)
                        return Double(receipt.nanoseconds.blackout)
                    },
                    Contestant(yardstick) { () throws(BenchmarkError) in
                        let calls = try c.blackOut(there.regions, spins: true).calls
                        _ = try c.blackOut(back.regions, spins: true)
                        return calls + (try empty.round())
                    },
                ])
            try RawCalls(deleting: change.before).carryOut(on: c.vm)
            return [
                contest.row(
                    name, slots: SlotChange.count, against: yardstick, target: .ratioAtMost(1.05))
            ]
        }
    }

    /// A guest under a table whose backend does nothing.
    private final class EmptyBlackout {
        private let guest: LoopingGuest
        private let table: MemslotTable
        private let arrays: [[Memslot]]
        private var turn = 0

        init() throws(BenchmarkError) {
            guest = try LoopingGuest()
            do throws(Errno) { try guest.backend.carryOut(.create(guest.codeSlot)) } catch {
                throw .broken("the guest's slot: \(error)")
            }
            table = try TransactionBenchmarks.table(NoCalls(), vcpus: guest.gate)
            var changed = guest.codeSlot
            changed.flags = .logDirtyPages
            arrays = [[guest.codeSlot], [changed]]
            _ = try table.measured(arrays[0])
            try guest.start()
        }

        deinit { guest.stop() }

        /// The nanoseconds for which the vCPU was held out.
        func round() throws(BenchmarkError) -> Double {
            turn += 1
            // What ends logging would have its log read: that is no empty blackout.
            let receipt = try table.measured(arrays[1], quiesce: .always)
            _ = try table.measured(arrays[0], quiesce: .always)
            return Double(receipt.nanoseconds.blackout)
        }
    }

    /// The vCPU that C holds out.
    private final class YardstickMachine {
        private let machine: OpaquePointer
        var vm: Int32 { ys_machine_vm(machine) }

        init() throws(BenchmarkError) {
            var status: Int32 = 0
            guard let machine = ys_machine_make(&status) else {
                throw .unavailable("no vCPU: errno \(-status)")
            }
            self.machine = machine
        }

        deinit { ys_machine_end(machine) }

        func blackOut(
            _ calls: [ys_region], spins: Bool
        ) throws(BenchmarkError) -> (total: Double, calls: Double) {
            let result = ys_black_out(machine, calls, calls.count, spins ? 1 : 0)
            guard result.status == 0 else {
                throw .broken("a slot call under C's blackout failed: errno \(-result.status)")
            }
            return (Double(result.total), Double(result.calls))
        }
    }
#endif
