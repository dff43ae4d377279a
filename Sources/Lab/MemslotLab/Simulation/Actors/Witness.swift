import MemslotTestKit
import Memslots

/// Observes the table for a while, again and again, and is told everything in that time.
// Sendable: touched by the thread with the baton alone.
final class Witness: SimulatedActor, @unchecked Sendable {
    let name: String
    private let world: World
    private var random: SeededRandom

    /// What one observation was told. It may be told once more while it is let go.
    // Sendable: touched by the thread with the baton alone.
    private final class Told: @unchecked Sendable {
        var entries: [EventLedger.Entry] = []
    }

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
        while !world.isOver {
            observe()
            world.sleep(milliseconds: random.draw(1...20))
        }
    }

    private func observe() {
        let told = Told()
        do throws(ReentryError) {
            let (snapshot, observation) = try world.table.observe { event in
                told.entries.append(EventLedger.Entry(event))
            }
            let first = world.events.count
            world.checkRead(snapshot)
            world.sleep(milliseconds: random.draw(1...40))
            // One that is being told to others has not come here yet.
            let expected = world.events.entries[first...]
            let missing = world.scheduler.transactions > 0 ? 1 : 0
            world.check(
                expected.starts(with: told.entries)
                    && told.entries.count + missing >= expected.count,
                .eventsInOrder, "\(name): was told \(told.entries), not \(Array(expected))")
            world.counts.events += told.entries.count
            _ = consume observation
        } catch {
            world.report(.reentryRefused, error.message)
        }
    }
}

extension EventLedger.Entry {
    /// What `event` is.
    fileprivate init(_ event: TableEvent) {
        switch event {
        case .committed(let receipt, _, _):
            self.init(kind: .committed, generation: receipt.generation)
        case .rolledBack(_, let generation):
            self.init(kind: .rolledBack, generation: generation)
        case .retired(let generation): self.init(kind: .retired, generation: generation)
        case .failed(_, let generation): self.init(kind: .failed, generation: generation)
        case .recovered(let generation): self.init(kind: .recovered, generation: generation)
        }
    }
}
