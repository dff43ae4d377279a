import MemslotSimulator
import MemslotTestKit
import Memslots

/// Enters the guest, writes to memory, and leaves when it is kicked, or later.
// Sendable: only the thread with the baton uses it.
final class VirtualCPU: SimulatedActor, @unchecked Sendable {
    private var isKicked = false

    override func run() {
        let entry = world.gate.register(name: name) { [self] in
            isKicked = true
            world.scheduler.wake(ObjectIdentifier(self))
        }
        while !world.isOver {
            isKicked = false
            do throws(ReentryError) { try entry.run { runGuest() } } catch {
                world.report(.reentryRefused, "\(name) can't enter: \(error.message)")
            }
            rest()
        }
    }

    private func runGuest() {
        world.guests += 1
        world.counts[.entries] += 1
        defer {
            world.guests -= 1
            world.lastStay = world.scheduler.time
        }
        let isStubborn = world.has(.stubborn) && random.once(in: 10)
        for _ in 0..<random.draw(1...12) {
            if isKicked && !isStubborn { return }
            if random.once(in: 6) { readFromGuest() } else { for _ in 0..<4 { write() } }
            world.scheduler.yield()
        }
        if isStubborn {
            world.sleep(milliseconds: random.draw(1...60))
        } else if random.once(in: 3), !isKicked {
            // Halted until it is kicked.
            world.sleep(milliseconds: random.draw(1...20), for: ObjectIdentifier(self))
        }
    }

    private func write() {
        let page = UInt64(random.draw(0...MachineShape.universe + 2))
        let space = AddressSpaceID(UInt32(random.draw(0...world.shape.spaces - 1)))
        let address = GuestPhysicalAddress(page * 4096)
        guard (try? world.simulator.touch(address, size: .pages(1), in: space)) != nil else {
            return
        }
        world.counts[.writes] += 1
        guard let slot = world.installed.first(where: { $0.contains(address, in: space) })
        else { return }
        world.dirty.write(
            slot, page: (address.rawValue - slot.guestPhysicalAddress.rawValue) / 4096,
            installed: world.installed)
    }

    private func readFromGuest() {
        if world.has(.reentry), random.once(in: 4) { return world.expectReentryRefused() }
        world.table.read(as: name) { world.checkRead($0) }
    }
}

/// Reads dirty logs and compares them with the guest's writes.
final class DirtyLogReader: SimulatedActor {
    override func run() {
        while !world.isOver {
            let logging = world.active.filter(\.isLogging)
            if let slot = logging.randomElement(using: &random) { read(slot) }
            world.sleep(milliseconds: random.draw(1...3))
        }
    }

    private func read(_ slot: Memslot) {
        let first = UInt64(random.draw(0...Int(slot.pageCount) - 1))
        let end = UInt64(random.draw(Int(first)...Int(slot.pageCount)))
        let part = random.once(in: 3) ? first..<end : nil
        let clear = random.once(in: 2)
        do throws(DirtyLogError) {
            let log = try world.table.dirtyLog(of: slot, pages: part, clear: clear)
            world.checkLog(of: slot.assignedKey, log.bitmap, log.pages, isCleared: clear)
        } catch {
            world.record("log: \(error)")
            switch error {
            // The slot may have been changed or removed by now.
            case .unknownSlot, .notLogging, .pagesOutOfRange, .backend, .failed: return
            case .reentrant, .slotWithoutID: world.report(.reentryRefused, "\(error)")
            }
        }
    }
}

extension World {
    /// Compares a log that was just read with the pages that it must contain.
    func checkLog(of key: SlotKey, _ bitmap: DirtyBitmap, _ pages: Range<UInt64>, isCleared: Bool) {
        counts[.dirtyReads] += 1
        record("log \(key): \(bitmap.runs)")
        guard let slot = active.first(where: { $0.key == key }) else {
            return report(.dirtyBitsKept, "slot \(key) does not exist, but has a log")
        }
        if let fault = dirty.fault(of: bitmap, for: slot, in: pages) {
            report(.dirtyBitsKept, fault)
        }
        if isCleared { dirty.cleared(slot, pages) }
    }
}
