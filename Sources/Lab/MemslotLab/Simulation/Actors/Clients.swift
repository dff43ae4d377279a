import MemslotProtocol
import MemslotTestKit
import Memslots

/// Submits arrays through the service, like a peer of an embedding VMM.
final class WireClient: SimulatedActor {
    private lazy var line = WireLine(world, name, events: nil)

    override func run() {
        while !world.isOver {
            guard let array = get() else { break }
            let submission = Submission(near: array.slots, at: array.generation, in: world, &random)
            submit(submission)
            if random.once(in: 3) { world.sleep(milliseconds: random.draw(1...5)) }
            world.waitAfterFailure(&random)
        }
        world.submitters -= 1
    }

    private func get() -> (generation: Generation, slots: [Memslot])? {
        world.scheduler.yield()
        let reply = line.call("memslots.get", "{\"vm\":\"\(World.vm)\"}")
        guard let array = reply?["result"].flatMap(WireArray.init) else {
            world.report(.oneAnswer, "memslots.get has no result")
            return nil
        }
        world.counts[.reads] += 1
        let committed = world.arrays[array.generation]
        world.check(
            array.isInstalled
                || committed.map { $0 == (array.slots, array.privateRanges) } ?? false,
            .readerSeesWhole, "memslots.get returns \(array.slots) at \(array.generation)")
        return (array.generation, array.slots)
    }

    private func submit(_ submission: Submission) {
        world.submissions[name] = submission
        // The service holds a lock during a submit, which the scheduler does not know.
        world.scheduler.exclusively(ObjectIdentifier(world.service)) {
            let reply = line.call("memslots.submit", WireArray.parameters(of: submission))
            check(reply, submission)
        }
    }

    private func check(_ reply: JSONValue?, _ submission: Submission) {
        guard let reply, (reply["result"] == nil) != (reply["error"] == nil) else {
            return world.report(.oneAnswer, "a submit has no reply, or two")
        }
        let outcome = SubmitOutcome(reply, submission)
        world.check(outcome, of: submission)
        if case .committed(let generation) = outcome {
            world.check(
                world.generation == generation, .oneAnswer,
                "the reply has generation \(generation), the table \(world.generation)")
            for hook in world.hooks { hook.checkFinished() }
        }
    }
}

extension SubmitOutcome {
    fileprivate init(_ reply: JSONValue, _ submission: Submission) {
        if let result = reply["result"] {
            let isCommitted = result["outcome"]?.isString("committed") == true
            self =
                isCommitted ? .committed(Generation(result["generation"]?.uint64 ?? 0)) : .unchanged
            return
        }
        let data = reply["error"]?["data"]
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
        case nil: self = .other(reply.rawText)
        }
    }
}

/// Submits arrays to the table, some as a compare-and-swap, some with a stale generation.
final class DirectClient: SimulatedActor {
    override func run() {
        while !world.isOver {
            let seen = world.table.snapshot()
            world.lastStay = world.scheduler.time
            // Others may commit in the meantime.
            if random.once(in: 4) { world.sleep(milliseconds: random.draw(1...5)) }
            let submission = Submission(
                near: seen.array.slots, at: seen.generation, in: world, &random)
            if random.once(in: 8) { plan(submission) }
            submit(submission)
            world.waitAfterFailure(&random)
        }
        world.submitters -= 1
    }

    private func submit(_ submission: Submission) {
        let deadline = UInt64(submission.deadline) * 1_000_000
        let end = world.scheduler.time + deadline
        world.submissions[name] = submission
        do throws(SubmitError) {
            let receipt = try world.table.submit(submission.slots, options: submission.options)
            // An actor that leaves at the deadline may still let the submit through. One that left
            // earlier must have woken it: then no wait timed out, however late it ran again.
            world.check(
                receipt.durations.nanoseconds.quiesce < deadline || world.lastStay >= end
                    || !world.hasTimedOut, .progress,
                "a submit waited until its deadline, though all actors had left")
            if receipt.outcome == .unchanged { return world.check(.unchanged, of: submission) }
            world.check(.committed(receipt.generation), of: submission)
            check(receipt, of: submission)
        } catch { world.check(SubmitOutcome(error), of: submission) }
    }

    private func check(_ receipt: Receipt, of submission: Submission) {
        let wanted = receipt.slots.sorted { $0.assignedKey < $1.assignedKey }
        world.check(
            wanted == world.active, .oneAnswer,
            "committed \(wanted), but the table has \(world.active)")
        world.check(
            receipt.operations.map(\.call) == world.transaction.calls, .oneAnswer,
            "the receipt lists \(receipt.operations.count) operations of "
                + "\(world.transaction.calls.count)")
        for hook in world.hooks { hook.checkCommitted(receipt.diff) }
    }

    /// Plans without submitting, which must change nothing.
    private func plan(_ submission: Submission) {
        let events = world.events.count
        let before = world.generation
        do throws(SubmitError) {
            let receipt = try world.table.plan(submission.slots, options: submission.options)
            world.record("planned \(receipt.operations.count) operations")
        } catch { world.record("planned: \(error.kind)") }
        let unchanged = world.events.count == events
        world.check(
            (world.generation == before) == unchanged || world.events.count > events,
            .generationsDense, "a plan changed the generation")
    }
}
