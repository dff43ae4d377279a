import MemslotLab
import Testing

/// Runs `options` on `wiring`; no run is a failure.
func simulate(
    _ options: SimulationOptions, _ wiring: Wiring = Wiring()
) throws -> SimulationReport {
    try Simulation(options, wiring).run()
}

/// The first of `seeds` that fails on `wiring`.
func firstFailure(
    of seeds: ClosedRange<UInt64>, without: Set<Disturbance> = [], _ wiring: Wiring
) throws -> SimulationReport? {
    for seed in seeds {
        let report = try simulate(SimulationOptions(seed: seed, without: without), wiring)
        if report.breach != nil { return report }
    }
    return nil
}
