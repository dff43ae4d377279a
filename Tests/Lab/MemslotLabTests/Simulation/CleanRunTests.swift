import MemslotLab
import Testing

@Suite("the product under simulation")
struct CleanRunTests {
    @Test("holds in every step of sixty seeds, in which all events occur")
    func clean() throws {
        var counts = Tally<SimulationReport.Count>()
        for seed in 1_000...1_059 as ClosedRange<UInt64> {
            let report = try simulate(SimulationOptions(seed: seed))
            #expect(report.breach == nil, "\(report.options.command)")
            counts += report.counts
        }
        for (name, count) in counts.named() { #expect(count > 0, "\(name)") }
    }

    @Test("may undo several additions beside a vCPU that does not leave")
    func severalUndos() throws {
        // Step 456 of this seed is the second undo of such a plan.
        let actors = Simulation.actors(of: 25_541).filter {
            !$0.hasPrefix("hostile") && !$0.hasPrefix("backend")
        }
        let report = try simulate(SimulationOptions(seed: 25_541, actors: actors))
        #expect(report.breach == nil, "\(report.options.command)")
    }

    @Test("has only the disturbances that are allowed")
    func without() throws {
        let quiet = Set(Disturbance.allCases)
        for seed in 1...10 as ClosedRange<UInt64> {
            let counts = try simulate(SimulationOptions(seed: seed, without: quiet)).counts
            for kind in [.rollbacks, .failures, .vetoes, .invalid] as [SimulationReport.Count] {
                #expect(counts[kind] == 0)
            }
            #expect(counts[.commits] > 0)
        }
    }

    @Test("runs with a single actor, and with none but the operator")
    func fewActors() throws {
        let alone = try simulate(SimulationOptions(seed: 5, actors: ["client-0"]))
        #expect(alone.breach == nil)
        #expect(alone.counts[.commits] > 0)
        #expect(alone.counts[.entries] == 0)
        let nobody = try simulate(SimulationOptions(seed: 5, actors: []))
        #expect(nobody.breach == nil)
        #expect(nobody.counts[.submits] == 0)
    }
}

/// Runs `options` with `wiring`.
func simulate(
    _ options: SimulationOptions, _ wiring: Wiring = Wiring()
) throws -> SimulationReport {
    try Simulation(options, wiring).run()
}

/// The first failing run of `seeds` with `wiring`.
func firstFailure(
    of seeds: ClosedRange<UInt64>, without: Set<Disturbance> = [], _ wiring: Wiring
) throws -> SimulationReport? {
    for seed in seeds {
        let report = try simulate(SimulationOptions(seed: seed, without: without), wiring)
        if report.breach != nil { return report }
    }
    return nil
}
