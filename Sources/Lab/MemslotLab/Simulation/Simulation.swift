import MemslotService
import Memslots

/// Runs the real table and the real service under one seed.
///
/// Clients submit, hooks refuse, calls fail, vCPUs and readers come, go and stay, observers and
/// subscribers stall, deadlines pass. One thread runs at a time, and the seed draws which; so that
/// a run can be repeated exactly. What must hold is looked at in each step.
package struct Simulation {
    private let options: SimulationOptions
    private let wiring: Wiring

    /// How many steps actors may need to end what they have begun.
    private static let windDown = 60_000
    /// Seconds without a step after which a thread is taken for stuck.
    private static let patience = 20

    /// A simulation of the product as it is.
    package init(_ options: SimulationOptions) { self.init(options, Wiring()) }

    package init(_ options: SimulationOptions, _ wiring: Wiring) {
        self.options = options
        self.wiring = wiring
    }

    /// The actors of `seed` by name. The last of them, who recovers failed tables, is always there.
    package static func actors(of seed: UInt64) -> [String] { MachineShape(seed: seed).actors }

    /// Runs to the end, or to the first thing that doesn't hold.
    ///
    /// - Throws: ``SimulationError`` where there could be no run.
    package func run() throws(SimulationError) -> SimulationReport {
        let world = try World(options, wiring)
        try addActors(to: world)
        watch(world)
        if !world.scheduler.run(patience: Self.patience) {
            world.report(.progress, "a thread waits for what the scheduler doesn't know")
        } else if world.breach == nil {
            checkEnd(world)
        }
        var report = SimulationReport(options)
        report.counts = world.counts
        report.counts.steps = world.scheduler.steps
        report.hash = world.scheduler.hash.text
        report.breach = world.breach
        report.choices = ScheduleChoices(world.scheduler.choices.made)
        report.trace = world.trace
        // What is stuck holds locks, and may still look at the world.
        if world.scheduler.haveAllEnded { world.dispose() }
        return report
    }

    private func addActors(to world: World) throws(SimulationError) {
        var names = options.actors ?? world.shape.actors
        for name in names where !world.shape.actors.contains(name) { throw .unknownActor(name) }
        if !names.contains("operator-0") { names.append("operator-0") }
        for name in names {
            let actor = try world.actor(name)
            if actor is DirectClient || actor is WireClient { world.submitters += 1 }
            world.scheduler.add(name) { actor.run() }
        }
    }

    private func watch(_ world: World) {
        let limit = options.steps + Self.windDown
        world.scheduler.watch = BatonScheduler.Watch(
            step: { [unowned world] in
                world.checkStep()
                if world.scheduler.steps > limit {
                    world.report(.progress, "the run does not come to an end")
                    world.scheduler.abandon()
                }
            },
            barrierWaits: { [unowned world] in
                world.report(.barrierFree, "a barrier would wait for somebody inside")
            },
            deadlock: { [unowned world] stuck in
                world.report(.progress, "nobody can go on: \(stuck.joined(separator: ", ")) wait")
            })
    }

    /// What must hold when everybody is gone.
    private func checkEnd(_ world: World) {
        world.checkInstalled()
        world.check(
            world.events.isSettled, .eventsInOrder,
            "\(world.events.entries.suffix(3)) are nobody's answer")
        world.check(
            world.generation.rawValue == UInt64(world.counts.commits), .generationsDense,
            "\(world.counts.commits) commits, and generation \(world.generation)")
        for slot in world.active where slot.isLogging {
            do throws(DirtyLogError) {
                let log = try world.table.dirtyLog(of: slot.key)
                world.checkLog(of: slot.key, log.bitmap, log.pages, isCleared: false)
            } catch {
                world.report(.dirtyBitsKept, "the log of \(slot.key) can't be read: \(error)")
            }
        }
    }
}
