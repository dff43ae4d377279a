import MemslotProtocol
import MemslotService
import MemslotTestKit
import Memslots

/// Subscribes to the VM's events through a short queue, which overflows when it stalls.
// Sendable: only the thread with the baton uses it.
final class Subscriber: SimulatedActor, @unchecked Sendable {
    /// The number of events that were received or reported as dropped.
    private var position = 0
    /// Whether the queue may still report losses from before the snapshot.
    private var hasNewSnapshot = true

    override func run() {
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
            if random.once(in: 12) { subscribe(line) } else { drain(queue) }
        }
        drain(queue)
        _ = line.call("events.unsubscribe", "{\"vm\":\"\(World.vm)\"}")
        world.service.end(line.connection)
    }

    private func subscribe(_ line: WireLine) {
        let reply = line.call("events.subscribe", "{\"vm\":\"\(World.vm)\"}")
        position = world.events.count
        hasNewSnapshot = true
        let vm = reply?["result"]?["vms"].flatMap { Array($0.elements).first }
        guard let array = vm.flatMap(WireArray.init) else {
            return world.report(.oneAnswer, "events.subscribe has no snapshot")
        }
        world.record("subscribes at \(array.generation)")
        let isExpected =
            array.isInstalled
            ? world.table.failure?.installed == array.slots || world.scheduler.transactions > 0
            : array.slots == world.active && array.privateRanges == world.activePrivateRanges
        world.check(
            array.generation == world.generation && isExpected, .eventsInOrder,
            "\(name): the snapshot is of \(array.generation), the table at \(world.generation)")
    }

    /// Removes all events from the queue and compares them with those of the table.
    private func drain(_ queue: EventQueue) {
        let taken = queue.removeAll()
        let (dropped, lines) = (taken.dropped, world.wiring.delivery(taken.lines))
        world.counts[.events] += UInt64(lines.count)
        world.counts[.droppedEvents] += dropped
        let missed = world.events.count - position - lines.count
        world.record("receives \(lines.count), \(dropped) dropped")
        world.check(
            missed >= 0 && (missed == Int(dropped) || hasNewSnapshot && missed <= Int(dropped)),
            .eventsInOrder,
            "\(name): received \(lines.count) events, \(dropped) reported as dropped, of "
                + "\(world.events.count - position)")
        let expected = world.events.entries.suffix(lines.count)
        for (line, entry) in zip(lines, expected) {
            let event = WireLine.parse(line)
            world.check(
                event?["method"]?.string == entry.method
                    && event?["params"]?["generation"]?.uint64 == entry.generation.rawValue,
                .eventsInOrder, "\(name): \(event?.rawText ?? "") instead of \(entry)")
        }
        position = world.events.count
        hasNewSnapshot = false
    }
}

/// Observes the table for a while, again and again, and compares the events it receives.
// Sendable: only the thread with the baton uses it.
final class Witness: SimulatedActor, @unchecked Sendable {
    /// The events of one observation. One more may arrive while it is cancelled.
    // Sendable: only the thread with the baton uses it.
    private final class Received: @unchecked Sendable { var entries: [EventLedger.Entry] = [] }

    override func run() {
        while !world.isOver {
            observe()
            world.sleep(milliseconds: random.draw(1...20))
        }
    }

    private func observe() {
        let received = Received()
        do throws(ReentryError) {
            let (snapshot, observation) = try world.table.observe { event in
                received.entries.append(EventLedger.Entry(event))
            }
            let first = world.events.count
            world.checkRead(snapshot)
            world.sleep(milliseconds: random.draw(1...40))
            // One event may still be on its way to this observer.
            let expected = world.events.entries[first...]
            let missing = world.scheduler.transactions > 0 ? 1 : 0
            world.check(
                expected.starts(with: received.entries)
                    && received.entries.count + missing >= expected.count,
                .eventsInOrder, "\(name): received \(received.entries), not \(Array(expected))")
            world.counts[.events] += UInt64(received.entries.count)
            _ = consume observation
        } catch { world.report(.reentryRefused, error.message) }
    }
}
