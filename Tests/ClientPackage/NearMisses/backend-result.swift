// An `apply` that returns an errno.
// error: type 'Backend' does not conform to protocol 'MemslotBackend'
import Memslots

final class Backend: MemslotBackend {
    let capabilities = Capabilities()
    func beginTransaction() {}
    func collectDirtyPages() {}
    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.pageCount)
    }
    #if MISS
        func apply(_ call: SlotCall) -> Errno? { nil }
    #else
        func apply(_ call: SlotCall) throws(Errno) {}
    #endif
}
