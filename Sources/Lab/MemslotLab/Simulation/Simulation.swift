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
                let log = try world.table.dirtyLog(of: slot)
                world.checkLog(of: slot.assignedKey, log.bitmap, log.pages, isCleared: false)
            } catch {
                world.report(
                    .dirtyBitsKept, "the log of \(slot.assignedKey) can't be read: \(error)")
            }
        }
    }
}

/// What is simulated.
package struct SimulationOptions: Hashable, Sendable {
    /// Draws everything: the machine, what each actor does, and who goes on at each step.
    package var seed: UInt64
    /// After how many steps actors begin nothing new.
    package var steps: Int
    /// The actors by name; `nil` for all that the seed has. See ``Simulation/actors(of:)``.
    package var actors: [String]?
    /// What doesn't happen.
    package var without: Set<Disturbance>
    /// Which of the seed's schedules is run: the same actors in another order.
    package var schedule: UInt64
    /// Who goes on at each step; `nil` lets the seed draw it.
    package var choices: ScheduleChoices?
    /// Whether all that happens is kept as text.
    package var keepsTrace: Bool

    /// A run of `steps` steps of `seed`.
    package init(
        seed: UInt64, steps: Int = 2_000, actors: [String]? = nil,
        without: Set<Disturbance> = [], schedule: UInt64 = 0, choices: ScheduleChoices? = nil,
        keepsTrace: Bool = false
    ) {
        self.seed = seed
        self.steps = steps
        self.actors = actors
        self.without = without
        self.schedule = schedule
        self.choices = choices
        self.keepsTrace = keepsTrace
    }
}

/// A kind of trouble that is made.
package enum Disturbance: String, CaseIterable, Hashable, Sendable {
    /// Hooks refuse changes.
    case veto
    /// A slot call fails, once.
    case once
    /// All slot calls fail from one on, so that undoing fails too.
    case persistent
    /// A slot call fails, and one of its undo.
    case undo
    /// A dirty log can't be read.
    case log
    /// vCPUs stay in the guest after a kick, perhaps past the deadline.
    case stubborn
    /// Readers stay, perhaps past the deadline.
    case overstay
    /// Observers take their time.
    case stall
    /// Hooks, observers, readers and vCPUs try what they must not.
    case reentry
    /// Arrays that break rules are submitted.
    case invalid
}

extension SimulationOptions {
    /// The command that runs this again.
    package var command: String {
        var words = ["memslotctl simulate --seed \(seed) --steps \(steps)"]
        if let actors { words.append("--actors \(actors.joined(separator: ","))") }
        if !without.isEmpty {
            words.append("--without \(without.map(\.rawValue).sorted().joined(separator: ","))")
        }
        if schedule != 0 && choices == nil { words.append("--schedule \(schedule)") }
        if let choices { words.append("--choices \(choices.text)") }
        return words.joined(separator: " ")
    }
}
