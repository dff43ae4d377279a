/// The course of one transaction, as decisions alone: no lock, thread, clock or backend.
///
/// Each event of the last action leads to the next action. Every course ends in exactly one
/// ``Outcome``; each prepared step is either committed and finished, or aborted, once. Operations may
/// lie before the hold (the head) and after it (the tail). The recovery of a failed table is a course
/// of its own: hold, harvest, apply, release.
struct TransactionMachine {
    /// What ``TransactionRun`` does next. It reports an ``Event``.
    enum Action: Equatable {
        /// Calls a hook's `prepare`. Steps count all changes times all hooks.
        case prepare(step: Int)
        /// Builds the inactive array.
        case build
        /// Closes the gates and waits for readers, and for vCPUs if the plan holds them out.
        case drain
        /// From here to ``release`` or ``resume`` vCPUs are held out under their barrier.
        case exclusive
        /// Reads the dirty logs that are about to end.
        case harvest
        /// Applies an operation.
        case apply(operation: Int)
        /// Lets vCPUs go on before the operations that need no hold; readers stay out.
        case resume
        /// Holds vCPUs out, because operations must be undone beside them, or a table recovers.
        case hold
        /// Undoes an operation.
        case undo(operation: Int)
        /// Returns harvested dirty bits to the slots that they came from.
        case restoreDirtyBits
        /// Records what is installed, which is neither the old array nor the new one; vCPUs stay out.
        case fail
        /// Calls a hook's `commit`.
        case commit(step: Int)
        /// Swaps the arrays.
        case swap
        /// Opens the gates.
        case release
        /// Calls a hook's `finish`.
        case finish(step: Int)
        /// Waits for registered readers of the old array.
        case retire
        /// Calls a hook's `abort`.
        case abort(step: Int)
        /// Ends.
        case complete(Outcome)
    }

    enum Event: Equatable {
        case done
        /// A hook refused.
        case vetoed(HookVeto)
        /// vCPUs or readers were still inside at the deadline.
        case timedOut(vcpus: [String], readers: [String])
        /// The backend refused.
        case refused(Errno)
    }

    enum Outcome: Equatable {
        case committed
        /// A failed table is as before its failure.
        case recovered
        case rejected(HookVeto, step: Int)
        case timedOut(vcpus: [String], readers: [String])
        /// `operation` is `nil` if a dirty log could not be read, before any slot call.
        case rolledBack(Errno, operation: Int?)
        case failed(Errno, operation: Int?, undo: Errno)
    }

    private enum State: Equatable {
        case start
        case preparing(step: Int)
        case building
        case draining
        case entering(next: Entered)
        case harvesting
        case applying(operation: Int)
        case resuming
        case holding(Cause)
        case holdingToRecover
        case undoing(operation: Int, Cause)
        case committing(step: Int)
        /// The last action before the release.
        case ending(Outcome)
        case releasing(Outcome)
        case finishing(step: Int)
        case retiring
        case aborting(step: Int, Outcome)
        case ended
    }

    /// What an exclusive part begins with.
    private enum Entered: Equatable {
        case harvest
        case undo(Cause)
    }

    /// Why operations are undone, which are those before `operation`.
    private struct Cause: Equatable {
        var outcome: Outcome
        var operation: Int

        /// What becomes of the table if that fails with `errno`.
        func failure(_ errno: Errno) -> Outcome {
            guard case .rolledBack(let first, let operation) = outcome else {
                return .failed(.timedOut, operation: nil, undo: errno)
            }
            return .failed(first, operation: operation, undo: errno)
        }
    }

    /// The parts of a plan: `middle` is what vCPUs are held for, if they are.
    private enum Part { case head, middle, tail }

    private let steps, operations, head, tail: Int
    private let isRecovery, holdsVCPUs: Bool
    private var isHolding = false
    private var part: Part
    private var state = State.start

    /// A transaction of `operations` calls, with `steps` hook calls a phase.
    ///
    /// - Parameters:
    ///   - holdsVCPUs: whether vCPUs are held out from the drain on.
    ///   - head: the number of operations before the hold; 0 without a hold.
    ///   - tail: the number of operations after it; 0 without a hold.
    init(steps: Int, operations: Int, holdsVCPUs: Bool, head: Int = 0, tail: Int = 0) {
        (self.steps, self.operations, self.holdsVCPUs) = (steps, operations, holdsVCPUs)
        (self.head, self.tail, part) = (head, tail, .head)
        isRecovery = false
    }

    /// The recovery of a failed table by `operations` calls, without hooks or readers.
    init(recoveryOf operations: Int) {
        (steps, self.operations, holdsVCPUs) = (0, operations, true)
        (head, tail, part) = (0, 0, .middle)
        isRecovery = true
    }

    /// Records the result of the last action, and returns the next.
    ///
    /// - Precondition: `event` is one that the last action can have.
    mutating func next(after event: Event) -> Action {
        switch (state, event) {
        case (.start, .done): return isRecovery ? enter(.holdingToRecover, .hold) : prepare(0)
        case (.preparing(let step), .done): return prepare(step + 1)
        case (.preparing(let step), .vetoed(let veto)):
            return abort(from: step - 1, .rejected(veto, step: step))
        case (.building, .done): return apply(0)
        case (.draining, .done):
            isHolding = holdsVCPUs
            return holdsVCPUs ? enter(.entering(next: .harvest), .exclusive) : harvest()
        case (.draining, .timedOut(let vcpus, let readers)):
            // The gates stay closed until the head is undone.
            let outcome = Outcome.timedOut(vcpus: vcpus, readers: readers)
            return undo(from: head - 1, Cause(outcome: outcome, operation: head))
        case (.entering(.harvest), .done): return harvest()
        case (.entering(.undo(let cause)), .done): return undo(from: cause.operation - 1, cause)
        case (.harvesting, .done): return apply(head)
        case (.harvesting, .refused(let errno)) where isRecovery,
            (.applying, .refused(let errno)) where isRecovery:
            return fail(.failed(errno, operation: nil, undo: errno))
        case (.harvesting, .refused(let errno)):
            let outcome = Outcome.rolledBack(errno, operation: nil)
            return undo(from: head - 1, Cause(outcome: outcome, operation: head))
        case (.applying(let operation), .done): return apply(operation + 1)
        case (.applying(let operation), .refused(let errno)):
            let outcome = Outcome.rolledBack(errno, operation: operation)
            return undo(Cause(outcome: outcome, operation: operation))
        case (.resuming, .done): return apply(operations - tail)
        case (.holdingToRecover, .done): return enter(.entering(next: .harvest), .exclusive)
        case (.holdingToRecover, .timedOut(let vcpus, let readers)):
            return enter(.ended, .complete(.timedOut(vcpus: vcpus, readers: readers)))
        case (.holding(let cause), .done):
            isHolding = true
            return enter(.entering(next: .undo(cause)), .exclusive)
        // What was held for can't be undone beside a vCPU.
        case (.holding(let cause), .timedOut) where part == .tail:
            return fail(cause.failure(.timedOut))
        case (.holding(let cause), .timedOut):
            // Nothing is undone that both arrays map; a vCPU that can't be stopped sees the rest.
            return undo(from: cause.operation - 1, cause)
        case (.undoing(let operation, let cause), .done): return undo(from: operation - 1, cause)
        case (.undoing(_, let cause), .refused(let errno)): return fail(cause.failure(errno))
        case (.committing(let step), .done): return commit(step + 1)
        case (.ending(let outcome), .done): return enter(.releasing(outcome), .release)
        case (.releasing(.committed), .done): return finish(0)
        case (.releasing(let outcome), .done): return abort(from: steps - 1, outcome)
        case (.finishing(let step), .done): return finish(step + 1)
        case (.retiring, .done): return enter(.ended, .complete(.committed))
        case (.aborting(let step, let outcome), .done): return abort(from: step - 1, outcome)
        default: preconditionFailure("\(event) can't be the result of the action in \(state)")
        }
    }

    private mutating func enter(_ state: State, _ action: Action) -> Action {
        self.state = state
        return action
    }

    private mutating func prepare(_ step: Int) -> Action {
        step < steps
            ? enter(.preparing(step: step), .prepare(step: step)) : enter(.building, .build)
    }

    private mutating func harvest() -> Action { enter(.harvesting, .harvest) }

    /// Applies an operation of the present part, or goes on to the next part.
    private mutating func apply(_ operation: Int) -> Action {
        let end =
            switch part {
            case .head: head
            case .middle: operations - tail
            case .tail: operations
            }
        if operation < end {
            return enter(.applying(operation: operation), .apply(operation: operation))
        }
        switch part {
        case .head:
            part = .middle
            return enter(.draining, .drain)
        case .middle where tail > 0:
            (part, isHolding) = (.tail, false)
            return enter(.resuming, .resume)
        case .middle, .tail: return isRecovery ? enter(.releasing(.recovered), .release) : commit(0)
        }
    }

    private mutating func undo(_ cause: Cause) -> Action {
        if cause.operation == 0 { return restore(cause.outcome) }
        return isHolding ? undo(from: cause.operation - 1, cause) : enter(.holding(cause), .hold)
    }

    private mutating func undo(from operation: Int, _ cause: Cause) -> Action {
        operation >= 0
            ? enter(.undoing(operation: operation, cause), .undo(operation: operation))
            : restore(cause.outcome)
    }

    private mutating func fail(_ outcome: Outcome) -> Action { enter(.ending(outcome), .fail) }

    private mutating func restore(_ outcome: Outcome) -> Action {
        enter(.ending(outcome), .restoreDirtyBits)
    }

    private mutating func commit(_ step: Int) -> Action {
        step < steps
            ? enter(.committing(step: step), .commit(step: step))
            : enter(.ending(.committed), .swap)
    }

    private mutating func finish(_ step: Int) -> Action {
        step < steps
            ? enter(.finishing(step: step), .finish(step: step)) : enter(.retiring, .retire)
    }

    private mutating func abort(from step: Int, _ outcome: Outcome) -> Action {
        step >= 0
            ? enter(.aborting(step: step, outcome), .abort(step: step))
            : enter(.ended, .complete(outcome))
    }
}
