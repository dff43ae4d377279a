// A backend without `beginTransaction`.
// error: type 'Backend' does not conform to protocol 'MemslotBackend'
import Memslots

final class Backend: MemslotBackend {
    let capabilities = Capabilities()
    func apply(_ call: SlotCall) throws(Errno) {}
    func collectDirtyPages() {}
    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.pageCount)
    }
    #if MISS
    #else
        func beginTransaction() {}
    #endif
}
