import Dispatch
import Memslots

/// A simulated VM whose slot calls take as long as a kernel's, so that there is a between to see.
final class SlowBackend: MemslotBackend {
    private let backend: any MemslotBackend

    /// Nanoseconds after a call; a kernel's creation takes about as long.
    private static let span: UInt64 = 12_000

    init(_ backend: any MemslotBackend) { self.backend = backend }

    var capabilities: Capabilities { backend.capabilities }

    func carryOut(_ call: SlotCall) throws(Errno) {
        try backend.carryOut(call)
        let start = DispatchTime.now().uptimeNanoseconds
        while DispatchTime.now().uptimeNanoseconds - start < Self.span {}
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try backend.readDirtyLog(of: slot, clear: clear)
    }

    func transactionBegins() { backend.transactionBegins() }

    func dirtyLogsWillBeRead() { backend.dirtyLogsWillBeRead() }
}
