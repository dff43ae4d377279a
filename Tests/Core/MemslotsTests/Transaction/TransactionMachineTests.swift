import Testing

@testable import Memslots

private typealias Machine = TransactionMachine

@Suite("the course of a transaction")
struct TransactionMachineTests {
    /// A course to its end: the actions, and what came of each.
    private struct Course {
        var actions: [Machine.Action] = []
        var events: [Machine.Event] = []
    }

    private func possible(_ action: Machine.Action) -> [Machine.Event] {
        switch action {
        case .prepare: [.done, .vetoed(HookVeto("no"))]
        case .drain: [.done, .timedOut(vcpus: ["v"], readers: [])]
        case .hold: [.done, .timedOut(vcpus: ["w"], readers: [])]
        case .harvest: [.done, .refused(.badAddress)]
        case .apply: [.done, .refused(.outOfMemory)]
        case .undo: [.done, .refused(.ioError)]
        case .complete: []
        default: [.done]
        }
    }

    private func walk(_ machine: Machine, _ event: Machine.Event, _ course: Course) -> [Course] {
        var (machine, course) = (machine, course)
        let action = machine.next(after: event)
        course.actions.append(action)
        return possible(action).isEmpty
            ? [course]
            : possible(action).flatMap { event in
                var next = course
                next.events.append(event)
                return walk(machine, event, next)
            }
    }

    private struct Shape {
        var steps: Int
        var operations: Int
        var holds: Bool
        var head = 0
        var tail = 0

        var middle: Range<Int> { head..<operations - tail }
    }

    /// What is wrong with a course.
    private func faults(_ course: Course, _ shape: Shape) -> [String] {
        var faults: [String] = []
        func check(_ isRight: Bool, _ what: String) { if !isRight { faults.append(what) } }
        let done = Array(zip(course.actions, course.events))
        func indices(_ pick: (Machine.Action) -> Int?) -> [Int] {
            done.compactMap { $0.1 == .done ? pick($0.0) : nil }
        }
        let prepared = indices { if case .prepare(let step) = $0 { step } else { nil } }
        let committed = indices { if case .commit(let step) = $0 { step } else { nil } }
        let finished = indices { if case .finish(let step) = $0 { step } else { nil } }
        let aborted = indices { if case .abort(let step) = $0 { step } else { nil } }
        let applied = indices { if case .apply(let index) = $0 { index } else { nil } }
        let undone = indices { if case .undo(let index) = $0 { index } else { nil } }
        let refused = done.lazy.compactMap { action, event -> Int? in
            if case .apply(let index) = action, event != .done { index } else { nil }
        }.first

        guard case .complete(let outcome)? = course.actions.last else { return ["no outcome"] }
        let isCommitted = outcome == .committed
        let steps = Array(0..<shape.steps)
        check(prepared == Array(0..<prepared.count), "prepared in order")
        check(committed == (isCommitted ? steps : []), "committed")
        check(finished == (isCommitted ? steps : []), "finished")
        check(aborted == (isCommitted ? [] : Array(prepared.reversed())), "aborted in reverse")
        check(applied == Array(0..<applied.count), "applied in order")
        check(
            isCommitted
                == (applied.count == shape.operations && undone.isEmpty
                    && done.contains { $0.0 == .swap }),
            "swap")

        func count(_ action: Machine.Action) -> Int { course.actions.count { $0 == action } }
        func position(_ action: Machine.Action) -> Int {
            course.actions.firstIndex(of: action) ?? -1
        }
        let hasDrained = done.contains { $0.0 == .drain && $0.1 == .done }
        let hasBegun = count(.drain) > 0 || refused != nil
        check(count(.release) == (hasBegun ? 1 : 0), "released once")
        check(count(.swap) == (isCommitted ? 1 : 0), "swapped once")
        let hasResumed =
            shape.tail > 0 && applied.count >= shape.middle.upperBound
            && refused != shape.middle.upperBound - 1
        check(count(.resume) == (hasResumed ? 1 : 0), "resumed before the tail")
        let isStopped = done.contains { action, event in
            action == .hold && event != .done
                && refused.map { $0 >= shape.middle.upperBound } == true
        }
        switch outcome {
        case .recovered: check(false, "a transaction recovers nothing")
        case .committed:
            check(position(.swap) < position(.release), "swap, then release")
            let first = course.actions.firstIndex {
                if case .commit = $0 { true } else { $0 == .swap }
            }
            let last = course.actions.lastIndex { if case .apply = $0 { true } else { false } }
            check(last ?? -1 < first ?? -1, "commit and swap after the last operation")
        case .rejected:
            check(count(.drain) == 0 && applied.isEmpty, "rejected before anything")
        case .timedOut:
            check(applied.count == shape.head && count(.harvest) == 0, "timed out before the hold")
            check(undone == Array(applied.reversed()), "the head is undone")
        case .rolledBack(_, let operation):
            check(undone == Array(applied.reversed()), "undone in reverse")
            check(
                operation.map { $0 == applied.count } ?? (applied.count == shape.head), "the call")
            check(count(.restoreDirtyBits) == 1, "bits put back")
            check(position(.restoreDirtyBits) < position(.release), "before the guest runs")
            check(!isStopped, "undone beside vCPUs that were held for it")
        case .failed(_, let operation, _):
            check(undone == Array(applied.reversed().prefix(undone.count)), "undone in reverse")
            check(undone.count < applied.count && count(.fail) == 1, "failed")
            check(operation == refused, "the failed call")
            check(!isStopped || undone.isEmpty, "undone beside vCPUs that were held for it")
        }

        // Held from the drain on, and again before an undo of what ran beside the guest.
        let heldLater = done.contains { $0.0 == .hold && $0.1 == .done }
        check(
            count(.exclusive) == (hasDrained && shape.holds ? 1 : 0) + (heldLater ? 1 : 0),
            "exclusive for each hold")
        let ranBeside = refused.map { !shape.holds || !shape.middle.contains($0) } ?? false
        check(count(.hold) == (ranBeside && !applied.isEmpty ? 1 : 0), "held before undo")
        var (isExclusive, isUnheld) = (false, false)
        for (index, (action, event)) in done.enumerated() {
            if action == .exclusive { isExclusive = true }
            if action == .resume || action == .release { isExclusive = false }
            // Whoever did not leave sees the undo.
            if action == .drain || action == .hold, event != .done { isUnheld = true }
            if case .undo = action {
                check(isExclusive || isUnheld, "undo is exclusive")
                check(index < position(.release), "before the release")
            }
            guard case .apply(let operation) = action else { continue }
            check(index < position(.release), "before the release")
            check(
                isExclusive == (shape.holds && shape.middle.contains(operation)),
                "exclusive exactly in the middle")
            if operation < shape.head {
                check(count(.drain) == 0 || index < position(.drain), "the head before the drain")
            } else {
                check(position(.harvest) < index, "after the harvest")
            }
        }
        return faults
    }

    @Test("ends in one outcome, whatever happens, with everything paired and in order")
    func everyCourse() {
        var shapes: [Shape] = []
        for steps in 0...3 {
            for operations in 0...3 {
                for holds in [false, true] {
                    shapes.append(Shape(steps: steps, operations: operations, holds: holds))
                }
            }
        }
        for head in 0...2 {
            for tail in 0...2 where head + tail > 0 {
                for steps in 0...1 {
                    for middle in 1...2 {
                        shapes.append(
                            Shape(
                                steps: steps, operations: head + middle + tail, holds: true,
                                head: head, tail: tail))
                    }
                }
            }
        }
        var wrong: [String] = []
        var outcomes: Set<String> = []
        for shape in shapes {
            let machine = Machine(
                steps: shape.steps, operations: shape.operations, holdsVCPUs: shape.holds,
                head: shape.head, tail: shape.tail)
            for course in walk(machine, .done, Course()) {
                wrong += faults(course, shape).map { "\($0): \(shape) \(course.actions)" }
                if case .complete(let outcome)? = course.actions.last {
                    outcomes.insert("\(outcome)".prefix { $0 != "(" }.description)
                }
            }
        }
        #expect(wrong.isEmpty, "\(wrong.prefix(3))")
        #expect(outcomes.count == 5)
    }

    /// What is wrong with the course of a recovery.
    private func recoveryFaults(_ course: Course, operations: Int) -> [String] {
        var faults: [String] = []
        func check(_ isRight: Bool, _ what: String) { if !isRight { faults.append(what) } }
        let done = zip(course.actions, course.events).filter { $0.1 == .done }.map(\.0)
        guard case .complete(let outcome)? = course.actions.last else { return ["no outcome"] }
        let applied = done.compactMap { if case .apply(let index) = $0 { index } else { nil } }
        check(applied == Array(0..<applied.count), "applied in order")
        check(course.actions.first == .hold, "held first")
        let others = course.actions.contains { action in
            switch action {
            case .prepare, .build, .drain, .undo, .restoreDirtyBits, .commit, .swap, .finish,
                .retire, .abort, .resume:
                true
            case .exclusive, .harvest, .apply, .hold, .fail, .release, .complete: false
            }
        }
        check(!others, "only hold, harvest, apply, fail and release")
        switch outcome {
        case .timedOut: check(course.actions.count == 2, "nothing is touched without the hold")
        case .recovered:
            check(applied.count == operations, "all applied")
            check(
                Array(course.actions.prefix(3)) == [.hold, .exclusive, .harvest],
                "held, alone, and logs read before the first operation")
            check(course.actions.suffix(2).first == .release, "released at the end")
            check(!course.actions.contains(.fail), "no failure")
        case .failed(_, let operation, _):
            check(operation == nil && applied.count < max(operations, 1), "a refusal ends it")
            check(course.actions.suffix(3).prefix(2) == [.fail, .release], "recorded, then left")
        case .committed, .rejected, .rolledBack: check(false, "\(outcome) of a recovery")
        }
        return faults
    }

    @Test("of a recovery ends recovered, failed or timed out, whatever happens")
    func everyRecovery() {
        var wrong: [String] = []
        var outcomes: Set<String> = []
        for operations in 0...4 {
            for course in walk(Machine(recoveryOf: operations), .done, Course()) {
                wrong += recoveryFaults(course, operations: operations)
                    .map { "\($0): \(course.actions)" }
                if case .complete(let outcome)? = course.actions.last {
                    outcomes.insert("\(outcome)".prefix { $0 != "(" }.description)
                }
            }
        }
        #expect(wrong.isEmpty)
        #expect(outcomes == ["recovered", "failed", "timedOut"])
    }
}
