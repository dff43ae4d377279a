import MemslotSimulator
import Memslots

/// What a transaction costs around its backend.
enum OverheadBenchmarks {
    static let steps = [
        BenchmarkStep("around the backend") { effort throws(BenchmarkError) in
            var rows: [BenchmarkRow] = []
            for change in SlotChange.all(base: 0x1000_0000_0000) {
                // Of 512 changes the calls are the main thing.
                if change.name.hasPrefix("512") { continue }
                rows.append(try measure(change, SimulatedBackend(), "simulator", effort))
            }
            rows.append(try unchanged(effort))
            return rows
        }
    ]

    private static func measure(
        _ change: SlotChange, _ backend: any MemslotBackend, _ name: String, _ effort: Effort
    ) throws(BenchmarkError) -> BenchmarkRow {
        let table = try TransactionBenchmarks.table(backend)
        _ = try table.measured(change.before)
        let around = "around"
        let contest = try Contest(
            rounds: effort(301, quick: 11),
            [
                Contestant(around) { () throws(BenchmarkError) in
                    let there = try table.measured(change.after).nanoseconds
                    let back = try table.measured(change.before).nanoseconds
                    return Double(there.total - there.apply + back.total - back.apply) / 2
                }
            ])
        return contest.row(
            around, as: "around the calls (\(name)): \(change.name)", slots: SlotChange.count,
            target: .atMost(20_000))
    }

    private static func unchanged(_ effort: Effort) throws(BenchmarkError) -> BenchmarkRow {
        let slots = SlotChange.slots(base: 0x1000_0000_0000)
        let table = try TransactionBenchmarks.table(SimulatedBackend())
        _ = try table.measured(slots)
        let contest = try Contest(
            rounds: effort(301, quick: 11),
            [
                Contestant("unchanged") { () throws(BenchmarkError) in
                    Double(try table.measured(slots).nanoseconds.total)
                }
            ])
        return contest.row(
            "unchanged", as: "the same array again", slots: SlotChange.count)
    }
}
