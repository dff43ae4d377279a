import Glibc
import MemslotProtocol
import MemslotService
import MemslotTestKit
import Memslots

/// Submits arrays through the service, as a peer of an embedding VMM does.
final class WireClient: SimulatedActor {
    let name: String
    private let world: World
    private var random: SeededRandom
    private var line: WireLine

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
        line = WireLine(world, name, events: nil)
    }

    func run() {
        while !world.isOver {
            guard let array = get() else { break }
            let submission = Submission(
                near: array.slots, at: array.generation, in: world, &random)
            submit(submission)
            if random.once(in: 3) { world.sleep(milliseconds: random.draw(1...5)) }
            world.waitAfterFailure(&random)
        }
        world.submitters -= 1
    }

    /// Reads the array, whole, as every peer may at any time.
    private func get() -> (generation: Generation, slots: [Memslot])? {
        world.scheduler.yield()
        let answer = line.call("memslots.get", "{\"vm\":\"\(World.vm)\"}")
        guard let array = answer?["result"].flatMap(WireArray.init) else {
            world.report(.oneAnswer, "memslots.get has no result")
            return nil
        }
        world.counts.reads += 1
        world.check(
            array.isInstalled || world.arrays[array.generation] == array.slots,
            .readerSeesWhole,
            "memslots.get tells \(array.slots) at \(array.generation)")
        return (array.generation, array.slots)
    }

    private func submit(_ submission: Submission) {
        // The service holds a lock while a submit runs, which the scheduler doesn't see.
        world.scheduler.inTurn(ObjectIdentifier(world.service)) {
            let answer = line.call(
                "memslots.submit", WireArray.parameters(of: submission, vm: World.vm))
            judge(answer, submission)
        }
    }

    private func judge(_ answer: JSONValue?, _ submission: Submission) {
        guard let answer, (answer["result"] == nil) != (answer["error"] == nil) else {
            return world.report(.oneAnswer, "a submit has no answer, or two")
        }
        world.judge(SubmitOutcome(answer, submission), of: submission)
        if let generation = answer["result"]?["generation"]?.uint64,
            answer["result"]?["outcome"]?.isString("committed") == true
        {
            world.check(
                world.generation.rawValue == generation, .oneAnswer,
                "generation \(generation) is told, the table is at \(world.generation)")
            for hook in world.hooks { hook.checkFinished() }
        }
    }
}

extension SubmitOutcome {
    /// Reads the answer to `memslots.submit`.
    fileprivate init(_ answer: JSONValue, _ submission: Submission) {
        if let result = answer["result"] {
            let isCommitted = result["outcome"]?.isString("committed") == true
            self =
                isCommitted
                ? .committed(Generation(result["generation"]?.uint64 ?? 0)) : .unchanged
            return
        }
        let data = answer["error"]?["data"]
        switch data?["kind"]?.string {
        case "generation-conflict": self = .conflict(present: data?["generation"]?.uint64 ?? 0)
        case "prepare-rejected": self = .rejected
        case "quiesce-timeout":
            let names = ["vcpus", "readers"].map { list in
                data?[list]?.elements.compactMap(\.string) ?? []
            }
            self = .timedOut(vcpus: names[0], readers: names[1])
        case "rolled-back": self = .rolledBack(errno: data?["errno"]?.string ?? "")
        case "vm-failed": self = .failed
        case let kind?: self = submission.isBroken ? .invalid : .other(kind)
        case nil: self = .other(answer.rawText)
        }
    }
}
