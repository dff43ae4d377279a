import CYardsticks
import Glibc
import MemslotLab
import MemslotPicture
import Memslots
import Synchronization

/// One of the measurements that take turns.
struct Contestant {
    let name: String
    /// Does its work once and returns its cost: mostly nanoseconds for one operation.
    let round: () throws -> Double

    init(_ name: String, _ round: @escaping () throws -> Double) {
        (self.name, self.round) = (name, round)
    }

    /// Times `body`, which does `operations` operations.
    init(_ name: String, operations: Int, _ body: @escaping () throws -> Void) {
        self.init(name) {
            let start = ys_now()
            try body()
            return Double(ys_now() - start) / Double(operations)
        }
    }
}

/// Several measurements that take turns, so that other load on the machine affects all alike.
struct Contest {
    private var samples: [String: [Double]] = [:]

    /// After a round that does not count. Each begins with another one, which finds colder caches.
    init(rounds: Int, _ contestants: [Contestant]) throws {
        for contestant in contestants { _ = try contestant.round() }
        for round in 0..<rounds {
            for turn in contestants.indices {
                let contestant = contestants[(turn + round) % contestants.count]
                samples[contestant.name, default: []].append(try contestant.round())
            }
        }
    }

    init(rounds: Int, _ contestants: Contestant...) throws {
        try self.init(rounds: rounds, contestants)
    }

    func spread(_ name: String) -> Spread { Spread(samples[name] ?? []) }

    /// The median of the ratios of the rounds. Whatever slows a round down slows both in it.
    func ratio(_ name: String, to other: String) -> Double {
        let pairs = zip(samples[name] ?? [], samples[other] ?? [])
        return Spread(pairs.filter { $0.1 > 0 }.map { $0.0 / $0.1 }).median
    }

    /// A row for `name`, compared with `yardstick` if there is one.
    func row(
        _ name: String, as title: String? = nil, slots: Int? = nil,
        against yardstick: String? = nil, in unit: BenchmarkUnit = .nanoseconds,
        target: BenchmarkTarget? = nil
    ) -> BenchmarkRow {
        precondition(samples[name] != nil, "\(name) was measured")
        let row = BenchmarkRow(
            name: title ?? name, slots: slots, unit: unit, measured: spread(name), target: target)
        guard let other = yardstick else { return row }
        return row.compared(with: other, spread(other), ratio: ratio(name, to: other))
    }
}

/// The figures of one measurement over many rounds.
package struct Spread: Hashable, Encodable, Sendable {
    /// Half of the rounds are below.
    package let median: Double
    /// A tenth of the rounds are below.
    package let low: Double
    /// A tenth of the rounds are above.
    package let high: Double
    package let rounds: Int

    private enum CodingKeys: String, CodingKey {
        case median, rounds
        case low = "p10"
        case high = "p90"
    }

    /// Summarizes `samples`; all 0 without any.
    package init(_ samples: [Double]) {
        let sorted = samples.sorted()
        func quantile(_ part: Double) -> Double {
            guard let last = sorted.indices.last else { return 0 }
            // Interpolated between two samples.
            let place = part * Double(last)
            let below = Int(place)
            let above = min(below + 1, last)
            return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
        }
        median = quantile(0.5)
        low = quantile(0.1)
        high = quantile(0.9)
        rounds = samples.count
    }
}

package enum Effort: Sendable {
    /// Enough rounds for reliable figures.
    case full
    /// Enough rounds to see that each benchmark works.
    case quick

    func callAsFunction<Value>(_ full: Value, quick: Value) -> Value {
        self == .full ? full : quick
    }
}

/// Several threads that do the same work at once.
enum Workers {
    /// Runs `body` on `count` threads, each bound to a processor, with their number; waits for all.
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) throws {
        let processors = Processors()
        let waiting = Atomic<Int>(0)
        var threads: [OwnThread] = []
        defer { for thread in threads { thread.join() } }
        for number in 0..<count {
            threads.append(
                try start {
                    processors.bind(to: number)
                    // All threads begin at once.
                    waiting.add(1, ordering: .sequentiallyConsistent)
                    while waiting.load(ordering: .sequentiallyConsistent) < count { sched_yield() }
                    body(number)
                })
        }
    }

    /// Starts a thread; the caller joins it.
    static func start(_ body: @escaping @Sendable () -> Void) throws -> OwnThread {
        do { return try OwnThread(body) } catch {
            throw BenchmarkError.broken("no thread can be made: \(error)")
        }
    }
}
