/// Makes a run that fails smaller, as long as the same thing fails.
///
/// First actors and kinds of trouble go, where some schedule still fails without them. Then the
/// schedule is made plain: as few steps as do in which the running thread does not simply go on.
package struct Shrinker {
    private let run: (SimulationOptions) -> SimulationReport?
    private var best: SimulationReport
    private var budget: Int

    /// How many runs were made.
    package private(set) var runs = 0

    /// A shrinker of `failing`, whose run `run` repeats.
    ///
    /// - Parameter run: `nil` where there could be no run.
    package init(
        _ failing: SimulationReport, run: @escaping (SimulationOptions) -> SimulationReport?
    ) {
        self.run = run
        best = failing
        // Threads that are stuck stay so, each time.
        budget = failing.breach?.invariant == .progress ? 60 : 1_500
    }

    /// Shrinks as far as the runs allow.
    ///
    /// - Returns: the smallest run that fails. It has the choices to repeat it by.
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
        fixSchedule()
        flattenSchedule()
        return best
    }

    /// Keeps what `change` makes of the smallest run, if it still fails.
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

    /// As ``keep(_:)``, with this schedule or another of the seed's.
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

    /// Looks for a schedule that fails earlier.
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

    /// From here on the schedule is a list.
    private mutating func fixSchedule() {
        let (choices, step) = (best.choices.list, best.breach?.step ?? 0)
        keep { $0.choices = ScheduleChoices(Array(choices.prefix(step))) }
    }

    /// Lets the running thread go on in stretches as long as possible.
    private mutating func flattenSchedule() {
        guard let list = best.options.choices?.list else { return }
        var length = list.count
        while length > 0 && budget > 0 {
            var start = 0
            while start < best.options.choices?.list.count ?? 0 && budget > 0 {
                flatten(start, length)
                start += length
            }
            length /= 2
        }
        cutSteps()
    }

    private mutating func flatten(_ start: Int, _ length: Int) {
        guard var list = best.options.choices?.list else { return }
        let end = min(start + length, list.count)
        guard start < end, list[start..<end].contains(where: { $0 != 0 }) else { return }
        list.replaceSubrange(start..<end, with: repeatElement(0, count: end - start))
        keep { $0.choices = ScheduleChoices(list) }
    }
}
