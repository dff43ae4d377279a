import CYardsticks
import MemslotSimulator
import Memslots
import Synchronization

/// The cost of more VMs, more threads and more slots.
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
            rows.append(
                try row("commits in one process", vms: count, effort(8_000, quick: 800), effort) {
                    vm, _, isOdd throws(BenchmarkError) in
                    _ = try all[vm].measured(arrays[isOdd ? 0 : 1])
                })
        }
        return rows
    }

    /// Compares the rate of commits by two threads with that of one.
    ///
    /// - Parameter commit: submits one of two arrays to VM number `vm`, alternately.
    private static func row(
        _ name: String, vms: Int, _ commits: Int, _ effort: Effort,
        _ commit: @escaping (_ vm: Int, _ thread: Int, _ isOdd: Bool) throws(BenchmarkError) -> Void
    ) throws(BenchmarkError) -> BenchmarkRow {
        func contestant(_ threads: Int) -> Contestant {
            Contestant("\(threads)") { () throws(BenchmarkError) in
                try rate(threads, commits) { number, turn throws(BenchmarkError) in
                    // Each thread has its own VMs, unless there is only one.
                    try commit((number + turn * threads) % vms, number, turn / vms % 2 == 1)
                }
            }
        }
        let contest = try Contest(rounds: effort(11, quick: 3), [contestant(1), contestant(2)])
        let title = "\(name), " + (vms == 1 ? "1 VM" : "\(grouped(vms)) VMs") + ", 2 threads"
        var row = contest.row("2", as: title, against: "1", in: .perSecond)
        row.yardstick = "1 thread"
        return row
    }

    /// Commits a second by `threads` threads.
    private static func rate(
        _ threads: Int, _ commits: Int,
        _ commit: @escaping (_ thread: Int, _ turn: Int) throws(BenchmarkError) -> Void
    ) throws(BenchmarkError) -> Double {
        let failures = Atomic<Int>(0)
        // Unsafe: it captures connections, which are not Sendable; each thread uses its own.
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
                try connections[0].request(RequestLine.create(vm: vm))
                lines.append(arrays.map { RequestLine.submit($0, to: vm) })
                try connections[0].request(lines[number][0])
            }
            let all = lines
            rows.append(
                try row("commits in one daemon", vms: count, effort(4_000, quick: 400), effort) {
                    vm, thread, isOdd throws(BenchmarkError) in
                    try connections[thread].request(all[vm][isOdd ? 0 : 1])
                })
        }
        return rows
    }

    // MARK: Slots

    /// The time of a commit of one change, by the number of slots.
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
                        return Double(
                            try table.measured(arrays[turn % 2]).durations.nanoseconds.total)
                    }
                ])
            rows.append(contest.row("commit", as: "commit of one change", slots: size))
        }
        return rows
    }
}
