import MemslotTestKit
import Memslots

/// Reads the table, and looks again and again at what it was given.
final class Reader: SimulatedActor {
    let name: String
    private let world: World
    private var random: SeededRandom

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
        while !world.isOver {
            world.wiring.reader.read(world.table, as: name) { look(at: $0) }
            if random.once(in: 3) { world.sleep(milliseconds: random.draw(1...4)) }
            world.scheduler.yield()
        }
    }

    private func look(at snapshot: TableSnapshot) {
        world.checkRead(snapshot)
        if world.has(.reentry), random.once(in: 30) {
            world.expectReentryRefused { () throws(SubmitError) in try world.table.submit([]) }
        }
        for _ in 0..<random.draw(0...4) {
            world.scheduler.yield()
            world.checkRead(snapshot)
        }
        if world.has(.overstay), random.once(in: 20) {
            world.sleep(milliseconds: random.draw(1...60))
            world.checkRead(snapshot)
        }
    }
}

extension World {
    /// Holds what a reader is given against what was committed, and against the machine.
    func checkRead(_ snapshot: TableSnapshot) {
        checkContent(of: snapshot)
        guard table.failure == nil, !transaction.isUndoing else { return }
        check(
            installed == snapshot.array.slots, .readerSeesWhole,
            "a reader is inside with generation \(snapshot.generation), installed are \(installed)")
    }

    /// Holds what any reader is given against what was committed.
    func checkContent(of snapshot: TableSnapshot) {
        counts.reads += 1
        lastStay = scheduler.time
        let slots = snapshot.array.slots
        // A reader may see a commit before observers are told of it.
        let committed = arrays[snapshot.generation]
        let isNext = snapshot.generation == generation.next && transaction.isSwitched
        check(
            committed.map { $0 == slots } ?? (isNext && installed == slots), .readerSeesWhole,
            "a reader sees \(slots) as generation \(snapshot.generation)")
        for slot in slots {
            check(
                snapshot.array[slot.assignedKey] == slot
                    && snapshot.array.slot(at: slot.guestPhysicalAddress, in: slot.addressSpace)
                        == slot,
                .readerSeesWhole,
                "slot \(slot.assignedKey) is not found at its address")
        }
    }
}

/// Reads through a registered reader, which no submit holds up, and which stays in an old array.
final class FastReader: SimulatedActor {
    let name: String
    private let world: World
    private var random: SeededRandom

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
        let reader = world.table.makeReader(as: name)
        while !world.isOver {
            reader.read { view in
                world.stays[name] = view.generation
                look(at: view)
                world.stays[name] = nil
            }
            if random.once(in: 3) { world.sleep(milliseconds: random.draw(1...4)) }
            world.scheduler.yield()
        }
    }

    private func look(at view: borrowing TableView) {
        check(view)
        if world.has(.reentry), random.once(in: 30) {
            world.expectReentryRefused { () throws(SubmitError) in try world.table.submit([]) }
        }
        for _ in 0..<random.draw(0...5) {
            world.scheduler.yield()
            check(view)
        }
        if world.has(.overstay), random.once(in: 12) {
            world.sleep(milliseconds: random.draw(1...120))
            check(view)
        }
    }

    /// The view is one whole array, and every address is found where that array has it.
    private func check(_ view: borrowing TableView) {
        let snapshot = view.snapshot
        world.checkContent(of: snapshot)
        world.check(
            view.generation == snapshot.generation && world.stays[name] == snapshot.generation,
            .readerSeesWhole, "\(name): the generation changes from within")
        for _ in 0..<3 {
            let space = AddressSpaceID(UInt32(random.draw(0...world.shape.spaces - 1)))
            let address = GuestPhysicalAddress(
                UInt64(random.draw(0...MachineShape.universe + 4)) * 4096 + 8)
            let slot = snapshot.array.slots.first {
                $0.addressSpace == space && $0.guestPhysicalAddress <= address
                    && address < $0.guestPhysicalEnd
            }
            let expected = slot.map {
                $0.userspaceAddress.rawValue
                    + (address.rawValue - $0.guestPhysicalAddress.rawValue)
            }
            world.check(
                view.translate(address, in: space)?.userspaceAddress.rawValue == expected,
                .readerSeesWhole, "\(name): \(address) is translated wrongly")
        }
    }
}
