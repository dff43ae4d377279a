import MemslotTestKit
import Memslots

/// A hook that refuses now and then, and sees to it that it is told everything once and in order.
// Sendable: touched by the thread with the baton alone.
final class WatchedHook: MemslotHook, @unchecked Sendable {
    private enum Phase { case prepared, committed, finished, aborted }

    let name: String
    let needsQuiescence: Bool
    // The world holds its hooks.
    private unowned let world: World
    private var random: SeededRandom
    private var told: [(change: MemslotChange, phase: Phase)] = []
    /// Hook 0 only watches: it refuses nothing.
    private let mayRefuse: Bool

    init(number: Int, _ world: World) {
        name = "hook-\(number)"
        self.world = world
        random = world.random(name)
        mayRefuse = number > 0
        needsQuiescence = number == 2
    }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        world.scheduler.yield()
        world.check(
            told.allSatisfy { $0.phase == .prepared }, .hooksPaired, "\(name): prepared too late")
        tryWhatMustNotBe()
        if mayRefuse, world.has(.veto), random.once(in: 16) {
            world.transaction.vetoes += 1
            world.note("\(name) refuses \(change.key)")
            throw HookVeto("drawn")
        }
        told.append((change, .prepared))
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
        guard let index = told.lastIndex(where: { $0.phase == .prepared }),
            told[index].change == change
        else { return world.report(.hooksPaired, "\(name): \(change) aborted out of order") }
        told[index].phase = .aborted
    }

    private func advance(_ change: MemslotChange, from phase: Phase, to next: Phase) {
        guard let index = told.firstIndex(where: { $0.phase == phase }),
            told[index].change == change, told[..<index].allSatisfy({ $0.phase == next })
        else { return world.report(.hooksPaired, "\(name): \(change) told out of order") }
        told[index].phase = next
    }

    /// Before a transaction: nothing is left of the one before.
    func checkIdle() { world.check(told.isEmpty, .hooksPaired, "\(name): \(told) never ended") }

    /// After a transaction that was committed, in ways that are not known.
    func checkFinished() {
        world.check(
            told.allSatisfy { $0.phase == .finished } && !told.isEmpty, .hooksPaired,
            "\(name): committed, but \(told)")
        told = []
    }

    /// After a transaction that was committed with `diff`.
    func checkCommitted(_ diff: MemslotDiff) {
        let told = told
        checkFinished()
        var expected = diff.removed.map(MemslotChange.removed) + diff.added.map(MemslotChange.added)
        expected += diff.moved.map { .moved(from: $0.before, to: $0.after) }
        expected += diff.reflagged.map { .reflagged(from: $0.before, to: $0.after) }
        world.check(
            Set(told.map(\.change)) == Set(expected) && told.count == expected.count, .hooksPaired,
            "\(name): was told \(told.map(\.change)), not \(expected)")
    }

    /// After a transaction that was not committed.
    func checkAborted() {
        world.check(
            told.allSatisfy { $0.phase == .aborted }, .hooksPaired,
            "\(name): not committed, but \(told)")
        told = []
    }

    private func tryWhatMustNotBe() {
        guard world.has(.reentry), random.once(in: 40) else { return }
        world.expectReentryRefused { () throws(SubmitError) in try world.table.submit([]) }
        world.table.read { snapshot in
            world.check(
                snapshot.generation == world.generation, .readerSeesWhole,
                "\(name): prepare sees generation \(snapshot.generation)")
        }
    }
}

extension World {
    /// Runs `body`, which is a submit from a place where that would wait for itself.
    func expectReentryRefused(_ body: () throws(SubmitError) -> Receipt) {
        do throws(SubmitError) {
            _ = try body()
            report(.reentryRefused, "a submit from inside was carried out")
        } catch {
            if case .reentrant = error { return }
            report(.reentryRefused, "a submit from inside was refused with \(error.kind)")
        }
    }
}

/// An observer that takes its time, inside the transaction that it is told of.
// Sendable: touched by the thread with the baton alone.
final class StallingObserver: @unchecked Sendable {
    // The world holds the observation that holds this.
    private unowned let world: World
    private var random: SeededRandom

    init(_ world: World) {
        self.world = world
        random = world.random("observer")
    }

    func tell(_ event: TableEvent) {
        if world.has(.reentry), random.once(in: 20) {
            world.expectReentryRefused { () throws(SubmitError) in try world.table.submit([]) }
        }
        world.table.read { snapshot in
            world.check(
                snapshot.generation == world.generation
                    && snapshot.array.slots == world.active, .readerSeesWhole,
                "an observer sees generation \(snapshot.generation)")
        }
        guard world.has(.stall) else { return }
        for _ in 0..<random.draw(0...4) { world.scheduler.yield() }
        if random.once(in: 8) { world.sleep(milliseconds: random.draw(1...20)) }
    }
}
