// A `readDirtyLog` without `clear`.
// error: type 'Backend' does not conform to protocol 'MemslotBackend'
import Memslots

final class Backend: MemslotBackend {
    let capabilities = Capabilities()
    func beginTransaction() {}
    func apply(_ call: SlotCall) throws(Errno) {}
    func collectDirtyPages() {}
    #if MISS
        func readDirtyLog(of slot: Memslot) throws(Errno) -> DirtyBitmap {
            DirtyBitmap(pageCount: slot.pageCount)
        }
    #else
        func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
            DirtyBitmap(pageCount: slot.pageCount)
        }
    #endif
}
