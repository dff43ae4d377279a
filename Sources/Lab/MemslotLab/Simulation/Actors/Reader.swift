import MemslotSimulator
import MemslotTestKit
import Memslots

/// Reads the table and checks the snapshot several times.
final class Reader: SimulatedActor {
    override func run() {
        while !world.isOver {
            world.wiring.read(world.table, name) { snapshot in
                stay(in: snapshot, rereads: 4, overstaysOnceIn: 20, longest: 60) {
                    world.checkRead($0)
                }
            }
            rest()
        }
    }
}

extension SimulatedActor {
    /// Checks a view of the table up to `rereads` times more, and sometimes once more after up to
    /// `longest` milliseconds.
    fileprivate func stay<View: ~Copyable>(
        in view: borrowing View, rereads: Int, overstaysOnceIn scarcity: Int, longest: Int,
        _ check: (borrowing View) -> Void
    ) {
        check(view)
        if world.has(.reentry), random.once(in: 30) { world.expectReentryRefused() }
        for _ in 0..<random.draw(0...rereads) {
            world.scheduler.yield()
            check(view)
        }
        if world.has(.overstay), random.once(in: scarcity) {
            world.sleep(milliseconds: random.draw(1...longest))
            check(view)
        }
    }

    /// Does something else until the next turn.
    func rest() {
        if random.once(in: 3) { world.sleep(milliseconds: random.draw(1...4)) }
        world.scheduler.yield()
    }
}

extension World {
    /// Compares a reader's snapshot with the committed arrays and with the installed slots.
    func checkRead(_ snapshot: TableSnapshot) {
        checkContent(of: snapshot)
        // Readers may be inside while additions are made before a hold.
        guard table.failure == nil, !transaction.isUndoing, transaction.continuity == nil else {
            return
        }
        check(
            installed == snapshot.array.slots && simulator.privateRanges == snapshot.privateRanges,
            .readerSeesWhole,
            "a reader has generation \(snapshot.generation), installed are \(installed)")
    }

    /// Compares a reader's snapshot with the committed arrays.
    func checkContent(of snapshot: TableSnapshot) {
        counts[.reads] += 1
        lastStay = scheduler.time
        let slots = snapshot.array.slots
        // A reader may see a commit before observers are notified of it.
        let ranges = snapshot.privateRanges
        let committed = arrays[snapshot.generation]
        let isNext = snapshot.generation == generation.next && transaction.isSwitched
        check(
            committed.map { $0 == (slots, ranges) }
                ?? (isNext && installed == slots && simulator.privateRanges == ranges),
            .readerSeesWhole,
            "a reader sees \(slots), private \(ranges), as generation \(snapshot.generation)")
        for slot in slots {
            check(
                snapshot.array[slot.assignedKey] == slot
                    && snapshot.array.slot(at: slot.guestPhysicalAddress, in: slot.addressSpace)
                        == slot,
                .readerSeesWhole, "slot \(slot.assignedKey) is not found at its address")
        }
    }
}

/// Reads through a registered reader, which does not delay a submit and may stay in an old array.
final class FastReader: SimulatedActor {
    override func run() {
        let reader = world.table.makeReader(as: name)
        while !world.isOver {
            reader.read { view in
                world.stays[name] = view.generation
                stay(in: view, rereads: 5, overstaysOnceIn: 12, longest: 120) { check($0) }
                world.stays[name] = nil
            }
            rest()
        }
    }

    /// Checks that the view is one whole array and translates addresses by it.
    private func check(_ view: borrowing TableView) {
        let snapshot = view.snapshot
        world.checkContent(of: snapshot)
        world.check(
            view.generation == snapshot.generation && world.stays[name] == snapshot.generation,
            .readerSeesWhole, "\(name): the generation changes during a read")
        for _ in 0..<3 {
            let space = AddressSpaceID(UInt32(random.draw(0...world.shape.spaces - 1)))
            let address = GuestPhysicalAddress(
                UInt64(random.draw(0...MachineShape.universe + 4)) * 4096 + 8)
            let slot = snapshot.array.slots.first { $0.contains(address, in: space) }
            let expected = slot.map {
                $0.userspaceAddress.rawValue + (address.rawValue - $0.guestPhysicalAddress.rawValue)
            }
            world.check(
                view.translate(address, in: space)?.userspaceAddress.rawValue == expected,
                .readerSeesWhole, "\(name): \(address) is translated wrongly")
        }
    }
}
