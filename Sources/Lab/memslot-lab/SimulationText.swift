import MemslotLab

/// What several runs came to.
struct SimulationSum {
    private(set) var runs = 0
    private var counts = SimulationReport.Counts()
    private var hashes: [String] = []
    private var seeds: [UInt64] = []

    mutating func add(_ report: SimulationReport) {
        runs += 1
        counts += report.counts
        seeds.append(report.options.seed)
        hashes.append(report.hash)
    }

    /// The sums, and a hash of all hashes.
    var lines: [String] {
        let width = counts.named.map(\.name.count).max() ?? 0
        let digits = String(counts.steps).count
        let sums = counts.named.map { name, count in
            let number = String(count)
            return "  " + name + String(repeating: " ", count: width - name.count + 2)
                + String(repeating: " ", count: digits - number.count) + number
        }
        let first = seeds.first ?? 0
        let title =
            runs == 1 ? "seed \(first)" : "\(runs) seeds, \(first) to \(seeds.last ?? first)"
        return [title] + sums + ["  hash" + String(repeating: " ", count: width - 2) + hash]
    }

    private var hash: String { SimulationReport.hash(ofAll: hashes) }
}

/// A run that failed, in words.
enum SimulationText {
    static func failure(
        _ failed: SimulationReport, _ shrunk: (report: SimulationReport, runs: Int)?
    ) -> [String] {
        var lines = ["", "seed \(failed.options.seed): " + sentence(failed)]
        lines.append("  \(failed.options.command)")
        if let shrunk {
            lines.append("the smallest of \(shrunk.runs) runs: " + sentence(shrunk.report))
            lines.append("  \(shrunk.report.options.command)")
        }
        return lines
    }

    private static func sentence(_ report: SimulationReport) -> String {
        guard let breach = report.breach else { return "all held" }
        let actor = breach.actor.isEmpty ? "the end" : breach.actor
        return "\(breach.invariant.rawValue) at step \(breach.step), in \(actor): "
            + breach.message
    }
}
