import MemslotTestKit
import Memslots

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
