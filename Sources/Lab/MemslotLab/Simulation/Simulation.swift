import Memslots

/// Runs the real table and service under one seed. Clients submit, hooks veto, operations fail,
/// vCPUs and readers overstay, observers stall, deadlines pass. One thread runs at a time, which
/// the seed draws, so that a run repeats exactly. Every step checks the invariants.
package struct Simulation {
    private let options: SimulationOptions
    private let wiring: Wiring

    /// A simulation; by default of the unmodified product.
    package init(_ options: SimulationOptions, _ wiring: Wiring = Wiring()) {
        (self.options, self.wiring) = (options, wiring)
    }

    /// The names of the actors of `seed`. The last one, which recovers failed tables, always runs.
    package static func actors(of seed: UInt64) -> [String] { MachineShape(seed: seed).actors }

    /// Runs to the end or to the first breach. Throws why the simulation could not run.
    package func run() throws(SimulationError) -> SimulationReport {
        let world = try World(options, wiring)
        try addActors(to: world)
        world.scheduler.world = world
        if !world.scheduler.run(patience: 20) {
            world.report(.progress, "a thread waits for something that the scheduler does not know")
        } else if world.breach == nil {
            checkEnd(world)
        }
        var counts = world.counts
        counts[.steps] = UInt64(world.scheduler.steps)
        let report = SimulationReport(
            options: options, counts: counts, hash: world.scheduler.hash.text,
            breach: world.breach, choices: ScheduleChoices(world.scheduler.choices.drawn),
            trace: world.trace)
        // A stuck thread may still use the world.
        if world.scheduler.haveAllEnded { world.dispose() }
        return report
    }

    private func addActors(to world: World) throws(SimulationError) {
        var names = options.actors ?? world.shape.actors
        for name in names where !world.shape.actors.contains(name) { throw .unknownActor(name) }
        if !names.contains("operator-0") { names.append("operator-0") }
        for name in names {
            let actor = world.actor(name)
            if actor is DirectClient || actor is WireClient { world.submitters += 1 }
            world.scheduler.add(name) { actor.run() }
        }
    }

    private func checkEnd(_ world: World) {
        world.checkInstalled()
        world.backEnd?.checkTable()
        world.check(
            world.events.isSettled, .eventsInOrder,
            "\(world.events.entries.suffix(3)) have no outcome")
        world.check(
            world.generation.rawValue == world.counts[.commits], .generationsDense,
            "\(world.counts[.commits]) commits, and generation \(world.generation)")
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

package struct SimulationOptions: Hashable, Sendable {
    /// The seed of everything: the machine, the actors' choices and the schedule.
    package var seed: UInt64
    /// The number of steps after which actors end.
    package var steps: Int
    /// The names of the actors; `nil` for all of the seed. See ``Simulation/actors(of:)``.
    package var actors: [String]?
    package var without: Set<Disturbance>
    /// The number of the schedule: each one runs the same actors in another order.
    package var schedule: UInt64
    /// The choices of the scheduler; `nil` draws them from the seed.
    package var choices: ScheduleChoices?
    package var keepsTrace: Bool

    package init(
        seed: UInt64, steps: Int = 2_000, actors: [String]? = nil, without: Set<Disturbance> = [],
        schedule: UInt64 = 0, choices: ScheduleChoices? = nil, keepsTrace: Bool = false
    ) {
        (self.seed, self.steps, self.actors, self.without) = (seed, steps, actors, without)
        (self.schedule, self.choices, self.keepsTrace) = (schedule, choices, keepsTrace)
    }
}

package enum Disturbance: String, CaseIterable, Hashable, Sendable {
    case veto
    /// A vhost-user back end refuses, dies, lies or is late.
    case backEnd = "back-end"
    case once
    /// All operations fail from one on, so that the undo fails too.
    case persistent
    /// An operation fails, and one of its undo.
    case undo
    case log
    /// vCPUs stay in the guest after a kick, possibly past the deadline.
    case stubborn
    /// Readers stay inside, possibly past the deadline.
    case overstay
    /// Observers are slow.
    case stall
    /// Hooks, observers, readers and vCPUs submit to their own table.
    case reentry
    case invalid
}

extension SimulationOptions {
    package var command: String {
        var words = ["memslot-lab simulate --seed \(seed) --steps \(steps)"]
        if let actors { words.append("--actors \(actors.joined(separator: ","))") }
        if !without.isEmpty {
            words.append("--without \(without.map(\.rawValue).sorted().joined(separator: ","))")
        }
        if schedule != 0 && choices == nil { words.append("--schedule \(schedule)") }
        if let choices { words.append("--choices \(choices.text)") }
        return words.joined(separator: " ")
    }
}
