/// The parts of the benchmark, by the names of the command line.
package enum BenchmarkPart: String, CaseIterable, Hashable, Sendable {
    /// Translating a guest address, and entering the section in which that is safe.
    case lookup
    /// From a submitted array to its plan.
    case diff
    /// Carrying a transaction out.
    case apply
    /// From a request's bytes to its answer, through `memslotd`.
    case wire
    /// How soon the programs are there, and how much memory they take.
    case start
    /// What more slots, more VMs and more threads cost.
    case growth

    /// The part as a heading.
    var title: String {
        switch self {
        case .lookup: "Translating a guest address"
        case .diff: "From the array to the plan"
        case .apply: "Carrying a transaction out"
        case .wire: "From bytes to the answer"
        case .start: "Start and memory"
        case .growth: "Growth"
        }
    }

    /// What it measures, each by itself.
    var steps: [BenchmarkStep] {
        switch self {
        case .lookup: LookupBenchmarks.steps
        case .diff: DiffBenchmarks.steps
        case .apply: ApplyBenchmarks.steps
        case .wire: WireBenchmarks.steps
        case .start: StartBenchmarks.steps
        case .growth: GrowthBenchmarks.steps
        }
    }
}

/// A measurement that can be passed over by itself.
struct BenchmarkStep: Sendable {
    let name: String
    let measure: @Sendable (Effort) throws(BenchmarkError) -> [BenchmarkRow]

    init(
        _ name: String,
        _ measure: @escaping @Sendable (Effort) throws(BenchmarkError) -> [BenchmarkRow]
    ) {
        self.name = name
        self.measure = measure
    }
}
