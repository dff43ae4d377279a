import Memslots

/// A backend that does nothing, so that what remains is the transaction itself.
final class NoCalls: MemslotBackend {
    let capabilities = Capabilities()

    func carryOut(_ call: SlotCall) throws(Errno) {}

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.pageCount)
    }
}
