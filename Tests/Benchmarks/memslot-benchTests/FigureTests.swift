import MemslotPicture
import Testing

@testable import memslot_bench

@Suite("Figures")
struct FigureTests {
    @Test("a spread is the median and the tenths, whatever the order")
    func spread() {
        let spread = Spread([5, 1, 4, 2, 3, 11, 9, 10, 8, 7, 6])
        #expect(spread.median == 6)
        #expect(spread.low == 2)
        #expect(spread.high == 10)
        #expect(spread.rounds == 11)
        #expect(Spread([1, 2]).median == 1.5)
        #expect(Spread([]).median == 0)
    }

    @Test(
        "figures have three significant digits and a suitable unit",
        arguments: [
            (0.1234, "0.123 ns"), (1.0, "1.00 ns"), (9.996, "10.0 ns"), (99.96, "100 ns"),
            (999.4, "999 ns"), (999.7, "1.00 µs"), (12_345, "12.3 µs"), (4.2e6, "4.20 ms"),
            (7.5e9, "7.50 s"), (2e15, "2000000 s"),
        ])
    func units(_ value: Double, _ text: String) {
        #expect(BenchmarkUnit.nanoseconds.text(value) == text)
    }

    @Test("bytes are scaled by 1,024, rates by 1,000")
    func otherUnits() {
        #expect(BenchmarkUnit.bytes.text(64 * 1_048_576) == "64.0 MiB")
        #expect(BenchmarkUnit.perSecond.text(150_000) == "150 k/s")
        #expect(grouped(1_000_000) == "1,000,000")
        #expect(grouped(512) == "512")
    }

    @Test("a target is met at its limit, and missed beyond it")
    func targets() {
        var row = BenchmarkRow(name: "x", unit: .nanoseconds, measured: Spread([100]))
        #expect(row.isMet == nil)
        row.target = .atMost(100)
        #expect(row.isMet == true)
        row.target = .atMost(99)
        #expect(row.isMet == false)
        row.target = .atLeast(101)
        #expect(row.isMet == false)
        row.target = .ratioAtMost(2)
        // Without a yardstick, no ratio is met.
        #expect(row.isMet == false)
        row.ratio = 2
        #expect(row.isMet == true)
        #expect(BenchmarkTarget.atLeast(200).share(of: row) == 2)
    }

    @Test("contestants take turns, and the ratio is the median of the rounds")
    func contest() throws {
        var log: [String] = []
        let slow = Contestant("slow") {
            log.append("slow")
            return Double(log.count) * 4
        }
        let fast = Contestant("fast") {
            log.append("fast")
            return Double(log.count)
        }
        let contest = try Contest(rounds: 4, [slow, fast])
        #expect(log.filter { $0 == "slow" }.count == 5)
        #expect(log[2...] == ["slow", "fast", "fast", "slow", "slow", "fast", "fast", "slow"])
        #expect(contest.spread("slow").rounds == 4)
        let ratio = contest.ratio("slow", to: "fast")
        #expect(ratio > 3 && ratio < 6)
    }

    @Test("a failing contestant ends the contest")
    func failing() {
        #expect(throws: BenchmarkError.broken("no")) {
            try Contest(
                rounds: 1, [Contestant("x") { () throws(BenchmarkError) in throw .broken("no") }])
        }
    }
}
