import MemslotProtocol
import MemslotService
import MemslotTestKit
import Memslots

/// Follows the VM's events through a short queue, which overflows when it stalls.
// Sendable: touched by the thread with the baton alone.
final class Subscriber: SimulatedActor, @unchecked Sendable {
    let name: String
    private let world: World
    private var random: SeededRandom
    /// How many events the world has that this was told, or was told to have lost.
    private var position = 0
    /// Whether the queue may tell losses of before the snapshot.
    private var isAfresh = true

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
        let queue = EventQueue(limit: random.draw(1...6)) { [self] in
            world.scheduler.wake(ObjectIdentifier(self))
        }
        let line = WireLine(world, name, events: queue)
        subscribe(line)
        while !world.isOver {
            let isStalled = world.has(.stall) && random.once(in: 4)
            world.sleep(
                milliseconds: random.draw(1...(isStalled ? 60 : 10)),
                for: isStalled ? nil : ObjectIdentifier(self))
            if random.once(in: 12) { subscribe(line) } else { take(queue) }
        }
        take(queue)
        _ = line.call("events.unsubscribe", "{\"vm\":\"\(World.vm)\"}")
        world.service.end(line.connection)
    }

    private func subscribe(_ line: WireLine) {
        let answer = line.call("events.subscribe", "{\"vm\":\"\(World.vm)\"}")
        position = world.events.count
        isAfresh = true
        let vm = answer?["result"]?["vms"].flatMap { Array($0.elements).first }
        guard let array = vm.flatMap(WireArray.init) else {
            return world.report(.oneAnswer, "events.subscribe has no snapshot")
        }
        world.note("subscribes at \(array.generation)")
        let isRight =
            array.isInstalled
            ? world.table.failure?.installed == array.slots || world.scheduler.transactions > 0
            : array.slots == world.active
        world.check(
            array.generation == world.generation && isRight, .eventsInOrder,
            "\(name): the snapshot is of \(array.generation), the table at \(world.generation)")
    }

    /// Takes what waits, and holds it against what happened.
    private func take(_ queue: EventQueue) {
        let taken = queue.removeAll()
        let (dropped, lines) = (taken.dropped, world.wiring.delivery(taken.lines))
        world.counts.events += lines.count
        world.counts.droppedEvents += Int(dropped)
        let missed = world.events.count - position - lines.count
        world.note("takes \(lines.count), lost \(dropped)")
        world.check(
            missed >= 0 && (missed == Int(dropped) || isAfresh && missed <= Int(dropped)),
            .eventsInOrder,
            "\(name): \(lines.count) events came, \(dropped) are told lost, of "
                + "\(world.events.count - position)")
        let expected = world.events.entries.suffix(lines.count)
        for (line, entry) in zip(lines, expected) {
            let event = WireLine.parse(line)
            world.check(
                event?["method"]?.string == entry.method
                    && event?["params"]?["generation"]?.uint64 == entry.generation.rawValue,
                .eventsInOrder,
                "\(name): \(event?.rawText ?? "") instead of \(entry)")
        }
        position = world.events.count
        isAfresh = false
    }
}

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
