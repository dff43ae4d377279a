import MemslotTestKit
import Memslots

/// Reads dirty logs, and holds them against what the guest wrote.
final class DirtyLogReader: SimulatedActor {
    let name: String
    private let world: World
    private var random: SeededRandom

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
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
            let log = try world.table.dirtyLog(of: slot.key, pages: part, clear: clear)
            world.checkLog(of: slot.key, log.bitmap, log.pages, isCleared: clear)
        } catch {
            judge(error)
        }
    }

    private func judge(_ error: DirtyLogError) {
        world.note("log: \(error)")
        switch error {
        // The slot may be another by now, or none.
        case .unknownSlot, .notLogging, .pagesOutOfRange, .backend, .failed: return
        case .reentrant: world.report(.reentryRefused, "\(error)")
        }
    }
}

extension World {
    /// Holds a log that was just read against what is owed.
    func checkLog(
        of key: SlotKey, _ bitmap: DirtyBitmap, _ pages: Range<UInt64>, isCleared: Bool
    ) {
        counts.dirtyReads += 1
        note("log \(key): \(bitmap.runs)")
        guard let slot = active.first(where: { $0.key == key }) else {
            return report(.dirtyBitsKept, "slot \(key) is not there, but has a log")
        }
        if let fault = dirty.fault(of: bitmap, for: slot, in: pages) {
            report(.dirtyBitsKept, fault)
        }
        if isCleared { dirty.cleared(slot, pages) }
    }
}
