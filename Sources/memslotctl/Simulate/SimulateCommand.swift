import ArgumentParser
import MemslotSimulation

struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "simulate", abstract: "x")
    @Option var seed: UInt64 = 1
    @Option var steps: Int = 2000
    @Option var seeds: Int = 1
    @Flag var trace = false
    func run() throws {
        var total = SimulationReport.Counts()
        for s in seed..<seed + UInt64(seeds) {
            let r = try Simulation(SimulationOptions(seed: s, steps: steps, keepsTrace: trace)).run()
            if trace { for l in r.trace { print(l) } }
            total += r.counts
            if seeds < 5 { print(s, r.hash) }
            if let v = r.violation { print(s, v); }
        }
        for (n, c) in total.named { print(n, c) }
    }
}
