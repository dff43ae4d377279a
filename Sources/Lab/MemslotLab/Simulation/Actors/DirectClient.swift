import MemslotTestKit
import Memslots

/// Submits arrays to the table, some as a compare-and-swap, some on a stale generation.
final class DirectClient: SimulatedActor {
    let name: String
    private let world: World
    private var random: SeededRandom

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
        while !world.isOver {
            let seen = world.table.snapshot()
            world.lastStay = world.scheduler.time
            // Others may commit meanwhile.
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
        do throws(SubmitError) {
            let receipt = try world.table.submit(submission.slots, options: submission.options)
            // Who leaves at the deadline or later may let a submit through then; who left before
            // has to have woken it.
            world.check(
                receipt.durations.nanoseconds.quiesce < UInt64(submission.deadline) * 1_000_000
                    || world.lastStay >= end,
                .progress, "a submit waited for its whole deadline, though all had left")
            if receipt.outcome == .unchanged {
                return world.judge(.unchanged, of: submission)
            }
            world.judge(.committed(receipt.generation), of: submission)
            check(receipt, of: submission)
        } catch {
            world.judge(SubmitOutcome(error), of: submission)
        }
    }

    private func check(_ receipt: Receipt, of submission: Submission) {
        let wanted = receipt.slots.sorted { $0.assignedKey < $1.assignedKey }
        world.check(
            wanted == world.active, .oneAnswer,
            "committed \(wanted), but the table has \(world.active)")
        world.check(
            receipt.operations.map(\.call) == world.transaction.calls, .oneAnswer,
            "the receipt tells \(receipt.operations.count) calls of "
                + "\(world.transaction.calls.count)")
        for hook in world.hooks { hook.checkCommitted(receipt.diff) }
    }

    /// Only looks; dirty bits that are read on the way must stay.
    private func plan(_ submission: Submission) {
        let events = world.events.count
        let before = world.generation
        do throws(SubmitError) {
            let receipt = try world.table.plan(submission.slots, options: submission.options)
            world.note("planned \(receipt.operations.count) calls")
        } catch {
            world.note("planned: \(error.kind)")
        }
        let unchanged = world.events.count == events
        world.check(
            (world.generation == before) == unchanged || world.events.count > events,
            .generationsDense, "a plan changed the generation")
    }
}
