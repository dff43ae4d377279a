import MemslotLab
import Testing

@Suite("a failing run is shrunk")
struct ShrinkerTests {
    private static var wiring: Wiring {
        var wiring = Wiring()
        wiring.hold = { BrokenHold($0, .doesNotHold) }
        return wiring
    }

    @Test("the same invariant fails in fewer steps with fewer actors, repeatably")
    func smaller() throws {
        let failing = try #require(
            try firstFailure(of: 1...20, without: [.reentry], Self.wiring))
        var shrinker = Shrinker(failing) { options in
            do throws(SimulationError) { return try Simulation(options, Self.wiring).run() } catch {
                return nil
            }
        }
        let smallest = shrinker.shrink()
        let breach = try #require(smallest.breach)
        #expect(breach.invariant == failing.breach?.invariant)
        #expect(breach.step <= failing.breach?.step ?? 0)
        let actors = try #require(smallest.options.actors)
        #expect(actors.contains { $0.hasPrefix("vcpu") })
        #expect(actors.count <= 3, "\(smallest.options.command)")

        // The command repeats the failure.
        let choices = try #require(smallest.options.choices)
        var options = SimulationOptions(
            seed: smallest.options.seed, steps: smallest.options.steps, actors: actors,
            without: smallest.options.without, choices: ScheduleChoices(choices.text))
        #expect(try simulate(options, Self.wiring).breach == breach)
        #expect(options.command.hasPrefix("memslot-lab simulate --seed \(options.seed) --steps "))
        options.choices = nil
        #expect(!options.command.contains("--choices"))
    }

    @Test("a run without a breach is not changed")
    func clean() throws {
        let clean = try simulate(SimulationOptions(seed: 1, steps: 200))
        var shrinker = Shrinker(clean) { _ in nil }
        let smallest = shrinker.shrink()
        #expect(smallest == clean)
        #expect(shrinker.runs == 0)
    }
}
