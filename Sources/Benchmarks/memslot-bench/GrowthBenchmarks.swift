import CYardsticks
import MemslotLab
import MemslotPicture
import Memslots
import Synchronization

/// The cost of more VMs and more threads.
enum GrowthBenchmarks {
    static let steps = [
        BenchmarkStep(name: "VMs in one process", measure: tables),
        BenchmarkStep(name: "threads on one VM", measure: contention),
        BenchmarkStep(name: "compare-and-swap on one VM", measure: compareAndSwap),
        BenchmarkStep(name: "VMs in one daemon", measure: daemon),
    ]

    private static let counts = [1, 8, 64, 1_000]

    private static func tables(_ effort: Effort) throws -> [BenchmarkRow] {
        let arrays = BenchmarkArray.alternating(64)
        return try effort(counts, quick: [8]).map { count in
            let tables = try (0..<count).map { _ in try LookupBenchmarks.opened(arrays[0]) }
            let commits = effort(3_000, quick: 800)
            return try row("commits in one process", vms: count, commits, effort) { vm, _, isOdd in
                _ = try tables[vm].measured(arrays[isOdd ? 0 : 1])
            }
        }
    }

    /// Several threads against one, on one VM. Each moves the last slot to places of its own.
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
            return try row(
                "commits to one VM", threads: count, commits, rounds: effort(5, quick: 3),
                target: .ratioAtLeast(count == 2 ? 0.9 : 0.8)
            ) { _, thread, turn in _ = try table.measured(arrays[thread * 2 + turn % 2]) }
        }
    }

    /// Compares the rate at which 64 threads, each of which expects the generation that it has read, commit
    /// to one VM with that of threads that hand each transaction on.
    private static func compareAndSwap(_ effort: Effort) throws -> [BenchmarkRow] {
        let arrays = BenchmarkArray.alternating(64)
        func contestant(_ name: String, handsOn: Bool, _ commits: Int) throws -> Contestant {
            let table = try LookupBenchmarks.opened(arrays[0])
            if handsOn { table.keepSubmitsOnTheirThreads() }
            return Contestant(name) {
                try rate(64, commits) { _, _ in
                    while true {
                        let (generation, present) = table.read { ($0.generation, $0.array.slots) }
                        let wanted = arrays[present == arrays[0] ? 1 : 0]
                        do {
                            _ = try table.measured(wanted, expecting: generation)
                            return
                        } catch SubmitError.conflict { continue }
                    }
                }
            }
        }
        let (combined, handed) = ("compare-and-swap, 64 threads", "each on its own thread")
        let contest = try Contest(
            rounds: effort(5, quick: 3),
            contestant(combined, handsOn: false, effort(3_200, quick: 640)),
            contestant(handed, handsOn: true, 64))
        return [
            contest.row(
                combined, as: "commits to one VM by \(combined)", against: handed, in: .perSecond)
        ]
    }

    /// Several VMs, by two threads against one. `commit` submits one of two arrays, in turns.
    private static func row(
        _ name: String, vms: Int, _ commits: Int, _ effort: Effort,
        _ commit: @escaping (_ vm: Int, _ thread: Int, _ isOdd: Bool) throws -> Void
    ) throws -> BenchmarkRow {
        try row(
            "\(name), " + (vms == 1 ? "1 VM" : "\(grouped(vms)) VMs"), threads: 2, commits,
            rounds: effort(5, quick: 3)
        ) { threads, thread, turn in
            // Each thread has its own VMs, unless there is only one.
            try commit((thread + turn * threads) % vms, thread, turn / vms % 2 == 1)
        }
    }

    /// Compares the rate of commits by `threads` threads with that of one.
    private static func row(
        _ name: String, threads: Int, _ commits: Int, rounds: Int, target: BenchmarkTarget? = nil,
        _ commit: @escaping (_ threads: Int, _ thread: Int, _ turn: Int) throws -> Void
    ) throws -> BenchmarkRow {
        let (one, several) = ("1 thread", "\(threads) threads")
        let contest = try Contest(
            rounds: rounds, Contestant(one) { try rate(1, commits) { try commit(1, $0, $1) } },
            Contestant(several) { try rate(threads, commits) { try commit(threads, $0, $1) } })
        return contest.row(
            several, as: "\(name), \(several)", against: one, in: .perSecond, target: target)
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
            let commits = effort(1_200, quick: 400)
            return try row("commits in one daemon", vms: count, commits, effort) {
                vm, thread, isOdd in try connections[thread].request(lines[vm][isOdd ? 0 : 1])
            }
        }
    }
}
