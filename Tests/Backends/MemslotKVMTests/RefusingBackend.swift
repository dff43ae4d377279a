import Memslots

/// A backend that refuses chosen calls of a transaction, and passes the others on.
///
/// Slot calls and dirty-log reads are numbered separately, from 0, including those of the undo.
final class RefusingBackend: MemslotBackend {
    struct Plan {
        var calls: Set<Int> = []
        var reads: Set<Int> = []
        var errno = Errno.outOfMemory
        fileprivate var call = 0
        fileprivate var read = 0
    }

    private let backend: any MemslotBackend
    private let plan = Locked(Plan())

    init(_ backend: any MemslotBackend) { self.backend = backend }

    var capabilities: Capabilities { backend.capabilities }

    func refuse(calls: Set<Int> = [], reads: Set<Int> = [], with errno: Errno = .outOfMemory) {
        plan.withLock { $0 = Plan(calls: calls, reads: reads, errno: errno) }
    }

    func apply(_ call: SlotCall) throws(Errno) {
        let refusal = plan.withLock { plan -> Errno? in
            defer { plan.call += 1 }
            return plan.calls.contains(plan.call) ? plan.errno : nil
        }
        if let refusal { throw refusal }
        try backend.apply(call)
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        let refusal = plan.withLock { plan -> Errno? in
            defer { plan.read += 1 }
            return plan.reads.contains(plan.read) ? plan.errno : nil
        }
        if let refusal { throw refusal }
        return try backend.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() {
        plan.withLock { ($0.call, $0.read) = (0, 0) }
        backend.beginTransaction()
    }

    func collectDirtyPages() { backend.collectDirtyPages() }
}
