import CYardsticks
import MemslotKVM
import MemslotPicture
import MemslotSimulator
import MemslotTestKit
import Memslots

/// Transactions on a KVM VM, compared with the same operations in C.
enum TransactionBenchmarks {
    static let steps = [
        BenchmarkStep(name: "slot calls on KVM") { effort in
            let vm = try RawVM()
            let memory = try guestMemory(SlotChange.bytes)
            var rows: [BenchmarkRow] = []
            for change in SlotChange.all(base: memory.base.rawValue) {
                rows += try measure(change, beside: vm, effort)
            }
            return rows
        }
    ]

    static func guestMemory(_ size: ByteCount) throws -> GuestMemory {
        do { return try GuestMemory(size: size) } catch {
            throw BenchmarkError.broken("no memory for a guest: \(error)")
        }
    }

    static func backend() throws -> KVMBackend {
        do { return try KVMBackend(system: KVMSystem()) } catch {
            throw BenchmarkError.unavailable("no VM: \(error)")
        }
    }

    static func table(
        _ backend: any MemslotBackend, vcpus: any VCPUHold = VCPUGate()
    ) throws -> MemslotTable {
        try MemslotTable(backend: backend, vcpus: vcpus)
    }

    private static func measure(
        _ change: SlotChange, beside vm: RawVM, _ effort: Effort
    ) throws -> [BenchmarkRow] {
        let table = try table(try backend())
        _ = try table.measured(change.before)
        try RawCalls(creating: change.before).apply(to: vm.descriptor)
        let there = RawCalls(try table.measured(change.after).operations)
        let back = RawCalls(try table.measured(change.before).operations)

        var whole: [Double] = []
        let contest = try Contest(
            rounds: effort(101, quick: 5),
            Contestant("calls") {
                let receipt = try table.measured(change.after)
                whole.append(Double(receipt.durations.nanoseconds.total))
                _ = try table.measured(change.before)
                return Double(receipt.durations.nanoseconds.apply)
            },
            Contestant("C loop of the same calls") {
                let span = try there.apply(to: vm.descriptor)
                try back.apply(to: vm.descriptor)
                return span
            })
        // Not in the contest: work that the kernel defers after a thousand calls would slow down
        // the next contestant.
        let rebuilding = try Contest(
            rounds: effort(15, quick: 2),
            Contestant("C: rebuilding the table") {
                let deleted = try RawCalls(deleting: change.before).apply(to: vm.descriptor)
                return deleted + (try RawCalls(creating: change.before).apply(to: vm.descriptor))
            })
        try RawCalls(deleting: change.before).apply(to: vm.descriptor)

        let count = there.regions.count
        let calls = "\(change.name), \(count) call" + (count == 1 ? "" : "s")
        let total = BenchmarkRow(
            name: "\(change.name): the whole submit", slots: SlotChange.count, unit: .nanoseconds,
            measured: Spread(Array(whole.dropFirst())))
        return [
            contest.row(
                "calls", as: calls, slots: SlotChange.count, against: "C loop of the same calls",
                target: .ratioAtMost(1.05)),
            total.compared(
                with: "C: rebuilding the table", rebuilding.spread("C: rebuilding the table")),
        ]
    }
}

/// The cost of a transaction around its backend.
enum OverheadBenchmarks {
    static let steps = [
        BenchmarkStep(name: "around the backend") { effort in
            var rows: [BenchmarkRow] = []
            for change in SlotChange.all(base: 0x1000_0000_0000) {
                // With 512 changes, the operations dominate.
                if change.name.hasPrefix("512") { continue }
                rows.append(try measure(change, effort))
            }
            rows.append(try unchanged(effort))
            return rows
        }
    ]

    private static func measure(_ change: SlotChange, _ effort: Effort) throws -> BenchmarkRow {
        let table = try TransactionBenchmarks.table(SimulatedBackend())
        _ = try table.measured(change.before)
        let name = "around the calls (simulator): \(change.name)"
        let contest = try Contest(
            rounds: effort(301, quick: 11),
            Contestant(name) {
                let there = try table.measured(change.after).durations.nanoseconds
                let back = try table.measured(change.before).durations.nanoseconds
                return Double(there.total - there.apply + back.total - back.apply) / 2
            })
        return contest.row(name, slots: SlotChange.count, target: .atMost(20_000))
    }

    private static func unchanged(_ effort: Effort) throws -> BenchmarkRow {
        let slots = SlotChange.slots(base: 0x1000_0000_0000)
        let table = try TransactionBenchmarks.table(SimulatedBackend())
        _ = try table.measured(slots)
        let name = "the same array again"
        let contest = try Contest(
            rounds: effort(301, quick: 11),
            Contestant(name) { Double(try table.measured(slots).durations.nanoseconds.total) })
        return contest.row(name, slots: SlotChange.count)
    }
}

extension MemslotTable {
    func measured(
        _ slots: [Memslot], quiesce: SubmitOptions.Quiesce = .auto
    ) throws -> Receipt {
        // On a busy machine, the thread of a vCPU may not run for seconds. That is no failure.
        try submit(
            slots, options: SubmitOptions(quiesce: quiesce, quiesceDeadline: .milliseconds(60_000)))
    }
}
