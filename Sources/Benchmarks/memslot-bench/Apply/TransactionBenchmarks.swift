import CYardsticks
import MemslotKVM
import MemslotTestKit
import Memslots

/// Transactions on a VM of the kernel's, held against C that makes the same calls.
enum TransactionBenchmarks {
    static let steps = [
        BenchmarkStep("slot calls on KVM") { effort throws(BenchmarkError) in
            let vm = try RawVM()
            let memory = try guestMemory(SlotChange.bytes)
            var rows: [BenchmarkRow] = []
            for change in SlotChange.all(base: memory.base.rawValue) {
                rows += try measure(change, beside: vm, effort)
            }
            return rows
        }
    ]

    static func guestMemory(_ size: ByteCount) throws(BenchmarkError) -> GuestMemory {
        do throws(Errno) { return try GuestMemory(size: size) } catch {
            throw .broken("no memory for a guest: \(error)")
        }
    }

    static func backend() throws(BenchmarkError) -> KVMBackend {
        do throws(KVMError) { return try KVMBackend(system: KVMSystem()) } catch {
            throw .unavailable("no VM: \(error)")
        }
    }

    static func table(
        _ backend: any MemslotBackend, vcpus: any VCPUHold = VCPUGate()
    ) throws(BenchmarkError) -> MemslotTable {
        do throws(InvalidArray) {
            return try MemslotTable(backend: backend, vcpus: vcpus)
        } catch {
            throw .broken("an empty table is refused")
        }
    }

    private static func measure(
        _ change: SlotChange, beside vm: RawVM, _ effort: Effort
    ) throws(BenchmarkError) -> [BenchmarkRow] {
        let table = try table(try backend())
        _ = try table.measured(change.before)
        try RawCalls(creating: change.before).carryOut(on: vm.descriptor)
        let there = RawCalls(try table.measured(change.after).operations)
        let back = RawCalls(try table.measured(change.before).operations)

        var whole: [Double] = []
        let contest = try Contest(
            rounds: effort(101, quick: 5),
            [
                Contestant("calls") { () throws(BenchmarkError) in
                    let receipt = try table.measured(change.after)
                    whole.append(Double(receipt.nanoseconds.total))
                    _ = try table.measured(change.before)
                    return Double(receipt.nanoseconds.apply)
                },
                Contestant("C loop of the same calls") { () throws(BenchmarkError) in
                    let span = try there.carryOut(on: vm.descriptor)
                    try back.carryOut(on: vm.descriptor)
                    return span
                },
            ])
        // By itself: what the kernel puts off after a thousand calls would hit who comes next.
        let rebuilding = try Contest(
            rounds: effort(15, quick: 2),
            [
                Contestant("C: rebuilding the table") { () throws(BenchmarkError) in
                    let deleted = try RawCalls(deleting: change.before).carryOut(on: vm.descriptor)
                    return deleted
                        + (try RawCalls(creating: change.before).carryOut(on: vm.descriptor))
                }
            ])
        try RawCalls(deleting: change.before).carryOut(on: vm.descriptor)

        let count = there.regions.count
        let calls = "\(change.name), \(count) call" + (count == 1 ? "" : "s")
        var total = BenchmarkRow(
            name: "\(change.name): the whole submit", slots: SlotChange.count, unit: .nanoseconds,
            measured: Spread(Array(whole.dropFirst())))
        let rebuilt = rebuilding.spread("C: rebuilding the table")
        total.yardstick = "C: rebuilding the table"
        total.yardstickMeasured = rebuilt
        total.ratio = total.measured.median / rebuilt.median
        return [
            contest.row(
                "calls", as: calls, slots: SlotChange.count, against: "C loop of the same calls",
                target: .ratioAtMost(1.05)),
            total,
        ]
    }
}
