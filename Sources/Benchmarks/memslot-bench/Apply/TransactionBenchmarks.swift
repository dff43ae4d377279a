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
            let vm = try machine()
            let memory = try guestMemory(SlotChange.bytes)
            return try SlotChange.all(base: memory.base.rawValue)
                .flatMap { try measure($0, beside: vm, effort) }
        }
    ]

    static func guestMemory(_ size: ByteCount) throws -> GuestMemory {
        do { return try GuestMemory(size: size) } catch {
            throw BenchmarkError.broken("no memory for a guest: \(error)")
        }
    }

    static func machine() throws -> VirtualMachine {
        do { return try KVMSystem().makeVirtualMachine() } catch {
            throw BenchmarkError.unavailable("no VM: \(error)")
        }
    }

    /// A table of such a VM, whose transactions hold the vCPUs behind `gate`.
    static func table(of vm: VirtualMachine, _ gate: VCPUGate = VCPUGate()) throws -> MemslotTable {
        do {
            return try MemslotTable(backend: KVMBackend(adopting: vm, installed: []), vcpus: gate)
        } catch { throw BenchmarkError.broken("the VM can't be adopted: \(error)") }
    }

    private static func measure(
        _ change: SlotChange, beside vm: VirtualMachine, _ effort: Effort
    ) throws -> [BenchmarkRow] {
        let table = try table(of: machine())
        _ = try table.measured(change.before)
        try RawCalls(creating: change.before).apply(to: vm)
        let there = RawCalls(try table.measured(change.after).operations)
        let back = RawCalls(try table.measured(change.before).operations)

        var whole: [Double] = []
        let contest = try Contest(
            rounds: effort(71, quick: 5),
            Contestant("calls") {
                let receipt = try table.measured(change.after)
                whole.append(Double(receipt.durations.nanoseconds.total))
                _ = try table.measured(change.before)
                return Double(receipt.durations.nanoseconds.apply)
            },
            Contestant("C loop of the same calls") {
                let span = try there.apply(to: vm)
                try back.apply(to: vm)
                return span
            })
        // Apart: work that the kernel defers after a thousand calls would slow others down.
        let rebuilding = try Contest(
            rounds: effort(15, quick: 2),
            Contestant("C: rebuilding the table") {
                let deleted = try RawCalls(deleting: change.before).apply(to: vm)
                return deleted + (try RawCalls(creating: change.before).apply(to: vm))
            })
        try RawCalls(deleting: change.before).apply(to: vm)

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
            // With 512 changes, the operations dominate.
            try SlotChange.all(base: 0x1000_0000_0000).filter { !$0.name.hasPrefix("512") }
                .map { try measure($0, effort) }
        }
    ]

    private static func measure(_ change: SlotChange, _ effort: Effort) throws -> BenchmarkRow {
        let table = try MemslotTable(backend: SimulatedBackend(), vcpus: VCPUGate())
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
}

extension MemslotTable {
    func measured(
        _ slots: [Memslot], quiesce: SubmitOptions.Quiesce = .auto, expecting: Generation? = nil
    ) throws -> Receipt {
        // On a busy machine, the thread of a vCPU may not run for seconds. That is no failure.
        try submit(
            slots,
            options: SubmitOptions(
                expectedGeneration: expecting, quiesce: quiesce,
                quiesceDeadline: .milliseconds(60_000)))
    }
}
