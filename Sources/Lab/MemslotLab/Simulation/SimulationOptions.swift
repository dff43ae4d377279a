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
