import MemslotTestKit
import Memslots

enum SubmitOutcome: Hashable {
    case committed(Generation)
    case unchanged
    case invalid
    case conflict(present: UInt64)
    case rejected
    case timedOut(vcpus: [String], readers: [String])
    case rolledBack(errno: String)
    case failed
    case other(String)

    init(_ error: SubmitError) {
        switch error {
        case .invalid: self = .invalid
        case .conflict(let present, _): self = .conflict(present: present.rawValue)
        case .rejected: self = .rejected
        case .quiesceTimeout(let vcpus, let readers):
            self = .timedOut(vcpus: vcpus, readers: readers)
        case .rolledBack(let rollback): self = .rolledBack(errno: rollback.errno.name)
        case .failed: self = .failed
        case .reentrant: self = .other(error.message)
        }
    }
}

struct Submission {
    var slots: [Memslot]
    var isBroken = false
    var options = SubmitOptions()
    /// The deadline of the options in milliseconds.
    let deadline: Int

    /// Draws a change of `array`.
    init(
        near array: [Memslot], at generation: Generation, in world: World,
        _ random: inout SeededRandom
    ) {
        let arrays = RandomArrays(spaces: world.shape.spaces)
        slots = arrays.near(array, &random)
        if world.table.capabilities.memoryAttributes, random.once(in: 3) {
            options.privateRanges = arrays.privateRanges(&random)
            if random.once(in: 2) { slots = array }
        }
        if world.has(.invalid), random.once(in: 25) {
            slots = arrays.broken(array, &random)
            isBroken = true
        }
        if random.once(in: 2) { options.expectedGeneration = generation }
        if random.once(in: 2) { options.quiesce = random.once(in: 3) ? .always : .continuity }
        deadline = random.once(in: 3) ? random.draw(1...20) : random.draw(50...200)
        options.quiesceDeadline = .milliseconds(deadline)
    }
}

extension World {
    /// Waits if the table is failed, because nearly all submits are refused then.
    func waitAfterFailure(_ random: inout SeededRandom) {
        scheduler.yield()
        if table.failure != nil, !random.once(in: 4) { sleep(milliseconds: random.draw(1...10)) }
    }

    /// Compares an outcome with its observed effects. Call before another transaction can begin.
    func check(_ outcome: SubmitOutcome, of submission: Submission) {
        counts[.submits] += 1
        record("\(outcome)")
        check(
            (outcome == .invalid) == submission.isBroken || outcome == .failed, .oneAnswer,
            "\(outcome), though the array is \(submission.isBroken ? "broken" : "valid")")
        let expected = submission.options.expectedGeneration
        switch outcome {
        case .committed(let generation):
            counts[.commits] += 1
            counts[.attributes] += UInt64(transaction.attributes.count)
            expectEvent(.committed, generation)
            check(
                expected.map { $0.next == generation } ?? true, .oneAnswer,
                "\(outcome), though \(String(describing: expected)) was expected")
            check(
                transaction.faults.isEmpty && transaction.vetoes == 0, .oneAnswer,
                "committed, though \(transaction.faults.count) calls failed")
        case .unchanged: counts[.unchanged] += 1
        case .invalid: counts[.invalid] += 1
        case .conflict(let present):
            counts[.conflicts] += 1
            check(
                expected.map { $0.rawValue < present } ?? false, .oneAnswer,
                "\(outcome) of \(String(describing: expected))")
        default: checkAborted(outcome)
        }
    }

    private func checkAborted(_ outcome: SubmitOutcome) {
        switch outcome {
        case .rejected:
            counts[.vetoes] += 1
            check(transaction.vetoes == 1, .oneAnswer, "rejected, but no hook refused")
        case .timedOut(let vcpus, let readers):
            counts[.timeouts] += 1
            // Clients read the table too, under the default name.
            let names = vcpus + readers
            check(
                !names.isEmpty && names.allSatisfy { shape.actors.contains($0) || $0 == "reader" },
                .oneAnswer, "timed out, for \(names)")
            check(
                (transaction.calls.isEmpty || transaction.continuity != nil) && hasTimedOut,
                .oneAnswer, "timed out, after \(transaction.calls.count) calls")
            check(
                !transaction.calls.compactMap(\.before).contains(where: active.contains),
                .guestSeesWhole, "timed out, after the guest lost a slot: \(transaction.calls)")
        case .rolledBack(let errno):
            counts[.rollbacks] += 1
            expectEvent(.rolledBack, generation)
            check(
                transaction.faults.first?.name == errno, .oneAnswer,
                "rolled back with \(errno), but the faults were \(transaction.faults)")
        case .failed:
            guard events.hasNewFailure(of: scheduler.running) else { return }
            counts[.failures] += 1
            expectEvent(.failed, generation)
            // Beside vCPUs that do not leave nothing is undone that they were held for.
            let isStopped = transaction.continuity != nil && hasTimedOut
            check(
                transaction.faults.count > 1 || isStopped, .oneAnswer,
                "failed, though the undo did not fail")
        default: return report(.oneAnswer, "\(outcome)")
        }
        for hook in hooks { hook.checkAborted() }
    }

    /// Checks that the last event reports the same as the outcome just returned.
    func expectEvent(_ kind: EventLedger.Entry.Kind, _ generation: Generation) {
        check(
            events.match(kind, generation, to: scheduler.running), .eventsInOrder,
            "the outcome is \(kind) \(generation), the events \(events.entries.suffix(3))")
    }
}
