import MemslotLab
import Testing

@Suite("a seed replays")
struct ReplayTests {
    @Test("the same seed gives the same hash, trace and counts", arguments: [1, 2, 3] as [UInt64])
    func twice(seed: UInt64) throws {
        let options = SimulationOptions(seed: seed, keepsTrace: true)
        let (first, second) = (try simulate(options), try simulate(options))
        #expect(first == second)
        #expect(first.trace.count > 20)
    }

    @Test("another seed, and another schedule of the seed, give another hash")
    func others() throws {
        let hash = try simulate(SimulationOptions(seed: 1)).hash
        #expect(try simulate(SimulationOptions(seed: 2)).hash != hash)
        #expect(try simulate(SimulationOptions(seed: 1, schedule: 1)).hash != hash)
    }

    @Test("the choices of a run repeat it")
    func choices() throws {
        let drawn = try simulate(SimulationOptions(seed: 4))
        let repeated = try simulate(SimulationOptions(seed: 4, choices: drawn.choices))
        #expect(repeated.hash == drawn.hash)
        #expect(repeated.counts == drawn.counts)
    }

    @Test("choices are encoded compactly and decoded")
    func choiceText() throws {
        let choices = ScheduleChoices([0, 0, 0, 3, ScheduleChoices.time, 1, 1, 0, 0])
        #expect(choices.text == "0*3,3,t,1*2")
        #expect(ScheduleChoices("0*3,3,t,1*2")?.list == [0, 0, 0, 3, ScheduleChoices.time, 1, 1])
        for text in ["x", "1*", "1*0", "1*2*3", "256", "-1", "1*99999999999"] {
            #expect(ScheduleChoices(text) == nil, "\(text)")
        }
    }

    @Test("an actor that the seed does not have is refused")
    func unknownActor() {
        #expect(throws: SimulationError.unknownActor("client-9")) {
            try simulate(SimulationOptions(seed: 1, actors: ["client-9"]))
        }
    }
}
