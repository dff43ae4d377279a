import MemslotTestKit
import Memslots

/// A hook that sometimes vetoes, and checks that each phase is called once and in order.
// Sendable: only the thread with the baton uses it.
final class WatchedHook: MemslotHook, @unchecked Sendable {
    private enum Phase { case prepared, committed, finished, aborted }

    let name: String
    let needsQuiescence: Bool
    // The world owns its hooks.
    private unowned let world: World
    private var random: SeededRandom
    private var calls: [(change: MemslotChange, phase: Phase)] = []
    /// Hook 0 never vetoes.
    private let mayVeto: Bool

    init(number: Int, _ world: World) {
        name = "hook-\(number)"
        self.world = world
        random = world.random(name)
        mayVeto = number > 0
        needsQuiescence = number == 2
    }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        world.scheduler.yield()
        world.check(
            calls.allSatisfy { $0.phase == .prepared }, .hooksPaired, "\(name): prepared too late")
        tryReentry()
        if mayVeto, world.has(.veto), random.once(in: 16) {
            world.transaction.vetoes += 1
            world.record("\(name) vetoes \(change.key)")
            throw HookVeto("drawn")
        }
        calls.append((change, .prepared))
    }

    func commit(_ change: MemslotChange) {
        world.transaction.isSwitched = true
        world.scheduler.yield()
        advance(change, from: .prepared, to: .committed)
    }

    func finish(_ change: MemslotChange) {
        world.scheduler.yield()
        advance(change, from: .committed, to: .finished)
    }

    func abort(_ change: MemslotChange) {
        world.scheduler.yield()
        guard let index = calls.lastIndex(where: { $0.phase == .prepared }),
            calls[index].change == change
        else { return world.report(.hooksPaired, "\(name): \(change) aborted out of order") }
        calls[index].phase = .aborted
    }

    private func advance(_ change: MemslotChange, from phase: Phase, to next: Phase) {
        guard let index = calls.firstIndex(where: { $0.phase == phase }),
            calls[index].change == change, calls[..<index].allSatisfy({ $0.phase == next })
        else { return world.report(.hooksPaired, "\(name): \(change) called out of order") }
        calls[index].phase = next
    }

    func checkIdle() { world.check(calls.isEmpty, .hooksPaired, "\(name): \(calls) did not end") }

    func checkFinished() {
        world.check(
            calls.allSatisfy { $0.phase == .finished }
                && calls.isEmpty == world.transaction.calls.isEmpty, .hooksPaired,
            "\(name): committed, but \(calls)")
        calls = []
    }

    func checkCommitted(_ diff: MemslotDiff) {
        let calls = calls
        checkFinished()
        var expected = diff.removed.map(MemslotChange.removed) + diff.added.map(MemslotChange.added)
        expected += diff.moved.map { .moved(from: $0.before, to: $0.after) }
        expected += diff.reflagged.map { .reflagged(from: $0.before, to: $0.after) }
        world.check(
            Set(calls.map(\.change)) == Set(expected) && calls.count == expected.count,
            .hooksPaired, "\(name): called with \(calls.map(\.change)), not \(expected)")
    }

    func checkAborted() {
        world.check(
            calls.allSatisfy { $0.phase == .aborted }, .hooksPaired,
            "\(name): not committed, but \(calls)")
        calls = []
    }

    private func tryReentry() {
        guard world.has(.reentry), random.once(in: 40) else { return }
        world.expectReentryRefused()
        world.table.read { snapshot in
            world.check(
                snapshot.generation == world.generation, .readerSeesWhole,
                "\(name): prepare sees generation \(snapshot.generation)")
        }
    }
}

extension World {
    /// Submits from inside a callback of the table, where waiting would deadlock.
    func expectReentryRefused() {
        do throws(SubmitError) {
            try table.submit([])
            report(.reentryRefused, "a submit from a callback was accepted")
        } catch {
            if case .reentrant = error { return }
            report(.reentryRefused, "a submit from a callback was refused with \(error.kind)")
        }
    }

    /// Receives an event slowly, which delays the transaction that it is of.
    func stall(at event: TableEvent) {
        if has(.reentry), stalls.once(in: 20) { expectReentryRefused() }
        table.read { snapshot in
            check(
                snapshot.generation == generation && snapshot.array.slots == active,
                .readerSeesWhole, "an observer sees generation \(snapshot.generation)")
        }
        guard has(.stall) else { return }
        for _ in 0..<stalls.draw(0...4) { scheduler.yield() }
        if stalls.once(in: 8) { sleep(milliseconds: stalls.draw(1...20)) }
    }
}
