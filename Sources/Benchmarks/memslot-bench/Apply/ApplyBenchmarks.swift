/// Carrying transactions out.
enum ApplyBenchmarks {
    static let steps = OverheadBenchmarks.steps + TransactionBenchmarks.steps + blackout

    #if arch(x86_64)
        private static let blackout = BlackoutBenchmarks.steps
    #else
        private static let blackout: [BenchmarkStep] = []
    #endif
}
