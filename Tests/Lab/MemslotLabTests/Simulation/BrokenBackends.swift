import MemslotSimulator
import Memslots

/// A backend that does what it should, but for what `fault` says.
final class BrokenBackend: MemslotBackend {
    enum Fault {
        /// Dirty logs come out empty.
        case losesDirtyBits
        /// Each log tells its first page as dirty.
        case inventsDirtyBits
        /// Deletions are said to be done.
        case skipsDeletions
        /// Log flags are said to be switched.
        case skipsReflags
        /// Slots are moved a page too far.
        case misplacesMoves
    }

    let capabilities: Capabilities
    private let simulator: SimulatedBackend
    private let fault: Fault

    init(_ simulator: SimulatedBackend, _ fault: Fault) {
        (self.simulator, self.fault) = (simulator, fault)
        capabilities = simulator.capabilities
    }

    func apply(_ call: SlotCall) throws(Errno) {
        switch (fault, call) {
        case (.skipsDeletions, .delete), (.skipsReflags, .reflag): return
        case (.misplacesMoves, .move(let from, var to)):
            to.guestPhysicalAddress = GuestPhysicalAddress(
                to.guestPhysicalAddress.rawValue + 0x100_0000)
            try simulator.apply(.move(from: from, to: to))
        default: try simulator.apply(call)
        }
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        var bitmap = try simulator.readDirtyLog(of: slot, clear: clear)
        switch fault {
        case .losesDirtyBits: bitmap = DirtyBitmap(pageCount: slot.pageCount)
        case .inventsDirtyBits: bitmap.insert(0..<1)
        default: break
        }
        return bitmap
    }

    func beginTransaction() { simulator.beginTransaction() }

    func collectDirtyPages() {}
}
