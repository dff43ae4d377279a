import CYardsticks
import MemslotSimulator
import Memslots
import Synchronization

/// What more VMs and more threads cost.
enum GrowthBenchmarks {
    static let steps = [
        BenchmarkStep("VMs in one process", tables), BenchmarkStep("VMs in one daemon", daemon),
        BenchmarkStep("slots", slots),
    ]

    private static let counts = [1, 8, 64, 1_000]

    // MARK: Tables

    private static func tables(_ effort: Effort) throws(BenchmarkError) -> [BenchmarkRow] {
        var rows: [BenchmarkRow] = []
        let arrays = BenchmarkArray.alternating(64)
        for count in effort(counts, quick: [8]) {
            var tables: [MemslotTable] = []
            for _ in 0..<count { tables.append(try LookupBenchmarks.opened(arrays[0])) }
            let all = tables
            let commits = effort(8_000, quick: 800)
            func contestant(_ threads: Int) -> Contestant {
                Contestant("\(threads)") { () throws(BenchmarkError) in
                    try rate(threads, commits) { number, turn throws(BenchmarkError) in
                        // Each thread has VMs of its own, but where there is only one.
                        let table = all[(number + turn * threads) % all.count]
                        _ = try table.measured(arrays[turn / all.count % 2 == 0 ? 1 : 0])
                    }
                }
            }
            let contest = try Contest(
                rounds: effort(11, quick: 3), [contestant(1), contestant(2)])
            rows += Self.rows(of: contest, "commits in one process", count)
        }
        return rows
    }

    private static func rows(
        of contest: Contest, _ name: String, _ count: Int
    ) -> [BenchmarkRow] {
        let vms = count == 1 ? "1 VM" : "\(grouped(count)) VMs"
        var row = contest.row(
            "2", as: "\(name), \(vms), 2 threads", against: "1", in: .perSecond)
        row.yardstick = "1 thread"
        return [row]
    }

    /// Commits in a second by `threads` threads.
    private static func rate(
        _ threads: Int, _ commits: Int,
        _ commit: @escaping (_ thread: Int, _ turn: Int) throws(BenchmarkError) -> Void
    ) throws(BenchmarkError) -> Double {
        let failures = Atomic<Int>(0)
        // Unsafe, since what it captures is not all Sendable: each thread uses connections and tables
        // of its own, and what is shared is made for sharing.
        nonisolated(unsafe) let commit = commit
        let start = ys_now()
        try Workers.run(threads) { number in
            for turn in 0..<commits / threads {
                do throws(BenchmarkError) { try commit(number, turn) } catch {
                    failures.add(1, ordering: .relaxed)
                }
            }
        }
        let span = ys_now() - start
        guard failures.load(ordering: .relaxed) == 0 else { throw .broken("commits fail") }
        return Double(commits) * 1e9 / Double(span)
    }

    // MARK: The daemon

    private static func daemon(_ effort: Effort) throws(BenchmarkError) -> [BenchmarkRow] {
        var rows: [BenchmarkRow] = []
        let arrays = BenchmarkArray.alternating(8)
        for count in effort(counts, quick: [8]) {
            let daemon = try RunningDaemon()
            let connections = [try daemon.connect(), try daemon.connect()]
            var lines: [[[UInt8]]] = []
            for number in 0..<count {
                let vm = "vm\(number)"
                try connections[0].ask(RequestLine.create(vm: vm))
                lines.append(arrays.map { RequestLine.submit($0, to: vm) })
                try connections[0].ask(lines[number][0])
            }
            let all = lines
            let commits = effort(4_000, quick: 400)
            func contestant(_ threads: Int) -> Contestant {
                Contestant("\(threads)") { () throws(BenchmarkError) in
                    try rate(threads, commits) { number, turn throws(BenchmarkError) in
                        let line = all[(number + turn * threads) % all.count]
                        try connections[number].ask(line[turn / all.count % 2 == 0 ? 1 : 0])
                    }
                }
            }
            let contest = try Contest(
                rounds: effort(11, quick: 3), [contestant(1), contestant(2)])
            rows += Self.rows(of: contest, "commits in one daemon", count)
        }
        return rows
    }

    // MARK: Slots

    /// Committing one change in a large array, for each slot.
    private static func slots(_ effort: Effort) throws(BenchmarkError) -> [BenchmarkRow] {
        var rows: [BenchmarkRow] = []
        let sizes = effort(BenchmarkArray.sizes + [1_000_000], quick: [512, 32_764])
        for size in sizes {
            let arrays = BenchmarkArray.alternating(size)
            var capabilities = Capabilities()
            capabilities.maxSlots = 1 << 20
            let table = try TransactionBenchmarks.table(
                SimulatedBackend(capabilities: capabilities))
            _ = try table.measured(arrays[0])
            var turn = 0
            let contest = try Contest(
                rounds: size > 100_000 ? 7 : effort(51, quick: 5),
                [
                    Contestant("commit") { () throws(BenchmarkError) in
                        turn += 1
                        return Double(try table.measured(arrays[turn % 2]).nanoseconds.total)
                    }
                ])
            rows.append(contest.row("commit", as: "commit of one change", slots: size))
        }
        return rows
    }
}

extension BenchmarkArray {
    /// Two arrays to commit in turns: they differ in where one slot is.
    static func alternating(_ count: Int) -> [[Memslot]] {
        let slots = slots(count)
        var other = slots
        let free = (slots.last?.guestPhysicalEnd.rawValue ?? 0) + (1 << 30)
        other[count / 2].guestPhysicalAddress = GuestPhysicalAddress(free)
        return [slots, other]
    }
}
