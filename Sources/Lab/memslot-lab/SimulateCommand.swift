import ArgumentParser
import MemslotLab
import MemslotPicture

struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run clients, vCPUs, readers and faults in random order, and check each step.",
        discussion: """
            Runs the real table and service under a scheduler that runs one thread at a time. The \
            seed draws the machine, the actors' choices and the schedule, so that a run repeats \
            exactly and its hash is always the same. A failing run is shrunk and printed as the \
            command that repeats it.

              memslot-lab simulate --seed 1 --steps 2000
              memslot-lab simulate --seeds 200

            Exit status: 0 all invariants held; 1 one did not; 2 the simulation could not run.
            """)

    @Option(help: ArgumentHelp("The seed of everything.", valueName: "s")) var seed: UInt64 = 1

    @Option(help: ArgumentHelp("The steps after which actors end.", valueName: "n"))
    var steps: Int = 2_000

    @Option(help: ArgumentHelp("The number of seeds, from --seed on.", valueName: "n"))
    var seeds: Int = 1

    @Option(
        help: ArgumentHelp("The only actors: client-0,vcpu-1,…", valueName: "names"),
        transform: Self.names)
    var actors: [String]?

    @Option(
        help: ArgumentHelp(
            "Disturbances that do not happen: "
                + Disturbance.allCases.map(\.rawValue).joined(separator: ", ") + ".",
            valueName: "kinds"), transform: Self.disturbances)
    var without: [Disturbance] = []

    @Option(help: ArgumentHelp("The number of the schedule, from a shrunk run.", valueName: "n"))
    var schedule: UInt64 = 0

    @Option(
        help: ArgumentHelp("The choices of the scheduler, from a shrunk run.", valueName: "list"),
        transform: Self.schedule)
    var choices: ScheduleChoices?

    @Flag(help: "Print the trace.") var trace = false

    @Flag(inversion: .prefixedNo, help: "Shrink a failing run.") var shrink = true

    func validate() throws {
        guard steps > 0, seeds > 0 else {
            throw ValidationError("--steps and --seeds must be at least 1")
        }
        guard steps <= 100_000_000 else {
            throw ValidationError("--steps must be at most 100000000")
        }
        guard !seed.addingReportingOverflow(UInt64(seeds)).overflow else {
            throw ValidationError("--seed plus --seeds must be below 2^64")
        }
    }

    func run() throws {
        var counts = Tally<SimulationReport.Count>()
        var hashes: [String] = []
        var bar = ProgressBar(total: trace ? nil : seeds, shortest: 20)
        var failed: SimulationReport?
        for seed in seed..<seed + UInt64(seeds) {
            let options = SimulationOptions(
                seed: seed, steps: steps, actors: actors, without: Set(without),
                schedule: schedule, choices: choices, keepsTrace: trace)
            let report = try Simulation(options).run()
            counts += report.counts
            hashes.append(report.hash)
            bar.show(hashes.count)
            if trace { Terminal.print(report.trace) }
            if report.breach != nil {
                failed = report
                break
            }
        }
        bar.end()
        Terminal.print(sum(counts.named(), hashes))
        guard let failed else { return }
        var lines = ["", "seed \(failed.options.seed): " + sentence(failed)]
        lines.append("  \(failed.options.command)")
        if shrink {
            var shrinker = Shrinker(failed) { try? Simulation($0).run() }
            let smallest = shrinker.shrink()
            lines.append("shrunk in \(shrinker.runs) runs: " + sentence(smallest))
            lines.append("  \(smallest.options.command)")
        }
        Terminal.print(lines)
        throw ExitCode.failure
    }

    private func sum(_ counts: [(name: String, value: UInt64)], _ hashes: [String]) -> [String] {
        let width = counts.map(\.name.count).max() ?? 0
        var table = TextTable(columns: ["", .numbers("")])
        for (name, count) in counts { table.append([TextTable.Cell(name), "\(count)"]) }
        let last = seed + UInt64(hashes.count) - 1
        let title = last == seed ? "seed \(seed)" : "\(hashes.count) seeds, \(seed) to \(last)"
        let hash = SimulationReport.hash(ofAll: hashes)
        return [title] + table.lines().map { "  " + $0 }
            + ["  hash" + String(repeating: " ", count: width - 2) + hash]
    }

    private func sentence(_ report: SimulationReport) -> String {
        guard let breach = report.breach else { return "all held" }
        let actor = breach.actor.isEmpty ? "the end" : breach.actor
        return "\(breach.invariant.rawValue) at step \(breach.step), in \(actor): " + breach.message
    }

    private static func names(_ text: String) -> [String] {
        text.split(separator: ",").map(String.init)
    }

    private static func disturbances(_ text: String) throws -> [Disturbance] {
        try names(text).map { name in
            guard let kind = Disturbance(rawValue: name) else {
                let known = Disturbance.allCases.map(\.rawValue).joined(separator: ", ")
                throw ValidationError("\"\(name)\" is not a disturbance; known are \(known)")
            }
            return kind
        }
    }

    private static func schedule(_ text: String) throws -> ScheduleChoices {
        guard let choices = ScheduleChoices(text) else {
            throw ValidationError("\"\(text)\" is no list of choices")
        }
        return choices
    }
}
