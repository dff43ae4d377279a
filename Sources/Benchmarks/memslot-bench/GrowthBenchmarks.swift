import CYardsticks
import MemslotLab
import MemslotPicture
import MemslotSimulator
import Memslots
import Synchronization

/// The cost of more VMs, more threads and more slots.
enum GrowthBenchmarks {
    static let steps = [
        BenchmarkStep(name: "VMs in one process", measure: tables),
        BenchmarkStep(name: "threads on one VM", measure: contention),
        BenchmarkStep(name: "VMs in one daemon", measure: daemon),
        BenchmarkStep(name: "slots", measure: slots),
    ]

    private static let counts = [1, 8, 64, 1_000]

    // MARK: Tables

    private static func tables(_ effort: Effort) throws -> [BenchmarkRow] {
        let arrays = BenchmarkArray.alternating(64)
        return try effort(counts, quick: [8]).map { count in
            let tables = try (0..<count).map { _ in try LookupBenchmarks.opened(arrays[0]) }
            let commits = effort(8_000, quick: 800)
            return try row("commits in one process", vms: count, commits, effort) { vm, _, isOdd in
                _ = try tables[vm].measured(arrays[isOdd ? 0 : 1])
            }
        }
    }

    /// Compares the rate at which several threads commit to one VM with that of one thread. Each commit
    /// moves the last slot to a place of its thread's own.
    private static func contention(_ effort: Effort) throws -> [BenchmarkRow] {
        let slots = BenchmarkArray.alternating(64)[0]
        let free = (slots.last?.guestPhysicalEnd.rawValue ?? 0) + (1 << 30)
        let arrays = (0..<16).map { place in
            var array = slots
            array[63].guestPhysicalAddress = GuestPhysicalAddress(free + UInt64(place) << 16)
            return array
        }
        let commits = effort(16_000, quick: 800)
        return try [2, 8].map { count in
            let table = try LookupBenchmarks.opened(slots)
            func contestant(_ threads: Int) -> Contestant {
                Contestant("\(threads)") {
                    try rate(threads, commits) { thread, turn in
                        _ = try table.measured(arrays[thread * 2 + turn % 2])
                    }
                }
            }
            let contest = try Contest(
                rounds: effort(15, quick: 3), [contestant(1), contestant(count)])
            var row = contest.row(
                "\(count)", as: "commits to one VM, \(count) threads", against: "1", in: .perSecond,
                target: .ratioAtLeast(count == 2 ? 0.9 : 0.8))
            row.yardstick = "1 thread"
            return row
        }
    }

    /// Compares the rate of commits by two threads with that of one.
    ///
    /// - Parameter commit: submits one of two arrays to VM number `vm`, alternately.
    private static func row(
        _ name: String, vms: Int, _ commits: Int, _ effort: Effort,
        _ commit: @escaping (_ vm: Int, _ thread: Int, _ isOdd: Bool) throws -> Void
    ) throws -> BenchmarkRow {
        func contestant(_ threads: Int) -> Contestant {
            Contestant("\(threads)") {
                try rate(threads, commits) { number, turn in
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
        _ commit: @escaping (_ thread: Int, _ turn: Int) throws -> Void
    ) throws -> Double {
        let failures = Atomic<Int>(0)
        // Unsafe: it captures connections, which are not Sendable; each thread uses its own.
        nonisolated(unsafe) let commit = commit
        let start = ys_now()
        try Workers.run(threads) { number in
            for turn in 0..<commits / threads {
                do { try commit(number, turn) } catch { failures.add(1, ordering: .relaxed) }
            }
        }
        let span = ys_now() - start
        try require(failures.load(ordering: .relaxed) == 0, "commits fail")
        return Double(commits) * 1e9 / Double(span)
    }

    // MARK: The daemon

    private static func daemon(_ effort: Effort) throws -> [BenchmarkRow] {
        let arrays = BenchmarkArray.alternating(8)
        return try effort(counts, quick: [8]).map { count in
            let daemon = try DaemonProcess.ready()
            let connections = [try daemon.connect(), try daemon.connect()]
            let lines = try (0..<count).map { number in
                let vm = "vm\(number)"
                let lines = arrays.map { RequestLine.submit($0, to: vm) }
                try connections[0].request(RequestLine.create(vm: vm))
                try connections[0].request(lines[0])
                return lines
            }
            let commits = effort(4_000, quick: 400)
            return try row("commits in one daemon", vms: count, commits, effort) {
                vm, thread, isOdd in try connections[thread].request(lines[vm][isOdd ? 0 : 1])
            }
        }
    }

    // MARK: Slots

    /// The time of a commit of one change, by the number of slots.
    private static func slots(_ effort: Effort) throws -> [BenchmarkRow] {
        let sizes = effort(BenchmarkArray.sizes + [1_000_000], quick: [512, 32_764])
        return try sizes.map { size in
            let arrays = BenchmarkArray.alternating(size)
            var capabilities = Capabilities()
            capabilities.maxSlots = 1 << 20
            let table = try TransactionBenchmarks.table(
                SimulatedBackend(capabilities: capabilities))
            _ = try table.measured(arrays[0])
            var turn = 0
            let contest = try Contest(
                rounds: size > 100_000 ? 7 : effort(51, quick: 5),
                Contestant("commit of one change") {
                    turn += 1
                    return Double(try table.measured(arrays[turn % 2]).durations.nanoseconds.total)
                })
            return contest.row("commit of one change", slots: size)
        }
    }
}
