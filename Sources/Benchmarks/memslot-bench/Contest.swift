import CYardsticks

/// One of those that are measured in turns.
struct Contestant {
    let name: String
    /// Does its work once, and says what it took: nanoseconds for one operation, as a rule.
    let round: () throws(BenchmarkError) -> Double

    init(_ name: String, _ round: @escaping () throws(BenchmarkError) -> Double) {
        self.name = name
        self.round = round
    }

    /// Times `body`, which does `operations` operations.
    init(_ name: String, operations: Int, _ body: @escaping () throws(BenchmarkError) -> Void) {
        self.init(name) { () throws(BenchmarkError) in
            let start = ys_now()
            try body()
            return Double(ys_now() - start) / Double(operations)
        }
    }
}

/// Several measurements taken in turns, so that what else the machine does hits them alike.
struct Contest {
    private var samples: [String: [Double]] = [:]

    /// Lets each contestant have its turn in each of `rounds`; a round before is not counted.
    ///
    /// Who begins changes from round to round: the first finds colder caches.
    init(rounds: Int, _ contestants: [Contestant]) throws(BenchmarkError) {
        for contestant in contestants { _ = try contestant.round() }
        for round in 0..<rounds {
            for turn in contestants.indices {
                let contestant = contestants[(turn + round) % contestants.count]
                samples[contestant.name, default: []].append(try contestant.round())
            }
        }
    }

    /// What a contestant took.
    func spread(_ name: String) -> Spread { Spread(samples[name] ?? []) }

    /// The median of the ratios of each round: what slows a round down slows both in it.
    func ratio(_ name: String, to other: String) -> Double {
        let pairs = zip(samples[name] ?? [], samples[other] ?? [])
        return Spread(pairs.filter { $0.1 > 0 }.map { $0.0 / $0.1 }).median
    }

    /// A row for `name`, beside `yardstick` where one is named.
    func row(
        _ name: String, as title: String? = nil, slots: Int? = nil,
        against yardstick: String? = nil, in unit: BenchmarkUnit = .nanoseconds,
        target: BenchmarkTarget? = nil
    ) -> BenchmarkRow {
        precondition(samples[name] != nil, "\(name) was measured")
        var row = BenchmarkRow(
            name: title ?? name, slots: slots, unit: unit, measured: spread(name))
        if let yardstick {
            row.yardstick = yardstick
            row.yardstickMeasured = spread(yardstick)
            row.ratio = ratio(name, to: yardstick)
        }
        row.target = target
        return row
    }
}
