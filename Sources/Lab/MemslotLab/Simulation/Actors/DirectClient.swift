import MemslotTestKit
import Memslots

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
        let end = world.scheduler.time + UInt64(submission.deadline) * 1_000_000
        world.submissions[name] = submission
        do throws(SubmitError) {
            let receipt = try world.table.submit(submission.slots, options: submission.options)
            // An actor that leaves at the deadline may still let the submit through. One that left
            // earlier must have woken it: then no wait timed out, however late it ran again.
            world.check(
                receipt.durations.nanoseconds.quiesce < UInt64(submission.deadline) * 1_000_000
                    || world.lastStay >= end
                    || world.scheduler.timeouts == world.transaction.timeoutsBefore,
                .progress, "a submit waited until its deadline, though all actors had left")
            if receipt.outcome == .unchanged {
                return world.check(.unchanged, of: submission)
            }
            world.check(.committed(receipt.generation), of: submission)
            check(receipt, of: submission)
        } catch {
            world.check(SubmitOutcome(error), of: submission)
        }
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
        } catch {
            world.record("planned: \(error.kind)")
        }
        let unchanged = world.events.count == events
        world.check(
            (world.generation == before) == unchanged || world.events.count > events,
            .generationsDense, "a plan changed the generation")
    }
}
