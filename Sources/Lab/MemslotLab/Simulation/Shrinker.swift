/// Reduces a failing run while the same invariant fails: removes actors and disturbances if some
/// schedule still fails without them, then switches between threads.
package struct Shrinker {
    private let run: (SimulationOptions) -> SimulationReport?
    private var best: SimulationReport
    private var budget: Int

    package private(set) var runs = 0

    /// Shrinks `failing`; `run` returns `nil` if a simulation could not run.
    package init(
        _ failing: SimulationReport, run: @escaping (SimulationOptions) -> SimulationReport?
    ) {
        self.run = run
        best = failing
        // Each run that gets stuck leaves threads behind.
        budget = failing.breach?.invariant == .progress ? 60 : 1_500
    }

    /// Returns the smallest failing run that is found, with the choices that repeat it.
    package mutating func shrink() -> SimulationReport {
        guard best.breach != nil else { return best }
        var last: SimulationReport
        var rounds = 0
        repeat {
            last = best
            dropActors()
            dropDisturbances()
            shorten()
            rounds += 1
        } while last != best && rounds < 3
        // From here on by the list of choices, instead of a drawn schedule.
        let (choices, step) = (best.choices.list, best.breach?.step ?? 0)
        keep { $0.choices = ScheduleChoices(Array(choices.prefix(step))) }
        flattenSchedule()
        return best
    }

    /// Applies `change` to the smallest run and keeps it if it still fails.
    @discardableResult
    private mutating func keep(_ change: (inout SimulationOptions) -> Void) -> Bool {
        guard budget > 0 else { return false }
        var options = best.options
        change(&options)
        budget -= 1
        runs += 1
        guard let report = run(options), let breach = report.breach,
            breach.invariant == best.breach?.invariant
        else { return false }
        best = report
        return true
    }

    private mutating func keepOnSomeSchedule(_ change: (inout SimulationOptions) -> Void) {
        let present = best.options.schedule
        for offset in 0..<Self.schedules {
            let kept = keep { options in
                change(&options)
                options.schedule = present &+ offset
            }
            if kept { return }
        }
    }

    private static let schedules: UInt64 = 30

    /// Searches for a schedule that fails earlier.
    private mutating func shorten() {
        cutSteps()
        for _ in 0..<Self.schedules {
            guard let step = best.breach?.step else { return }
            keep { options in
                options.schedule &+= 1
                options.steps = min(options.steps, step)
            }
        }
        cutSteps()
    }

    private mutating func dropActors() {
        let names = best.options.actors ?? Simulation.actors(of: best.options.seed)
        for name in names where name != "operator-0" {
            keepOnSomeSchedule { options in
                let present = options.actors ?? Simulation.actors(of: options.seed)
                options.actors = present.filter { $0 != name }
            }
        }
    }

    private mutating func dropDisturbances() {
        for kind in Disturbance.allCases where !best.options.without.contains(kind) {
            keep { $0.without.insert(kind) }
        }
    }

    private mutating func cutSteps() {
        guard let step = best.breach?.step, step < best.options.steps else { return }
        keep { $0.steps = step }
    }

    /// Removes switches between threads, in parts of decreasing length.
    private mutating func flattenSchedule() {
        guard var length = best.options.choices?.list.count else { return }
        while length > 0 && budget > 0 {
            var start = 0
            while var list = best.options.choices?.list, start < list.count, budget > 0 {
                let part = start..<min(start + length, list.count)
                if list[part].contains(where: { $0 != 0 }) {
                    list.replaceSubrange(part, with: repeatElement(0, count: part.count))
                    keep { $0.choices = ScheduleChoices(list) }
                }
                start += length
            }
            length /= 2
        }
        cutSteps()
    }
}
