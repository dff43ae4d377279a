// A `collectDirtyPages` with a parameter.
// error: type 'Backend' does not conform to protocol 'MemslotBackend'
import Memslots

final class Backend: MemslotBackend {
    let capabilities = Capabilities()
    func beginTransaction() {}
    func apply(_ call: SlotCall) throws(Errno) {}
    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.pageCount)
    }
    #if MISS
        func collectDirtyPages(of slot: Memslot) {}
    #else
        func collectDirtyPages() {}
    #endif
}
