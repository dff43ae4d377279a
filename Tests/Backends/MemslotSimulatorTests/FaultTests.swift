import MemslotSimulator
import Memslots
import Testing

@Suite("injected faults")
struct FaultTests {
    let backend = SimulatedBackend()

    /// The results of one transaction of `count` calls, each a creation or deletion of slot 0.
    func transaction(_ count: Int) -> [String] {
        backend.beginTransaction()
        return (0..<count).map { _ in
            let words = slot(0, page: 16)
            let call: SlotCall =
                backend.installedSlots.isEmpty ? .create(words) : .delete(words)
            return errno { () throws(Errno) in try backend.apply(call) }?.name ?? "-"
        }
    }

    @Test("a fault fires at its index, once, and the call has no effect")
    func once() {
        backend.inject(FaultInjection(operation: 2, errno: .outOfMemory))
        #expect(transaction(4) == ["-", "-", "ENOMEM", "-"])
        #expect(backend.installedSlots.count == 1)
        #expect(backend.operationCounts.creates == 2)
        #expect(transaction(4) == ["-", "-", "-", "-"])
    }

    @Test("a transaction that does not reach a fault leaves it armed")
    func staysArmed() {
        backend.inject(FaultInjection(operation: 3, errno: .ioError, times: 2))
        #expect(transaction(3) == ["-", "-", "-"])
        #expect(transaction(4) == ["-", "-", "-", "EIO"])
        #expect(transaction(1) == ["-"])
        #expect(backend.armedFaults == [FaultInjection(operation: 3, errno: .ioError)])
        #expect(transaction(5) == ["-", "-", "-", "EIO", "-"])
        #expect(transaction(5) == ["-", "-", "-", "-", "-"])
        #expect(backend.armedFaults.isEmpty)
    }

    @Test("several faults fire in one transaction, so that an undo fails too")
    func several() {
        backend.inject(FaultInjection(operation: 2, errno: .outOfMemory))
        backend.inject(FaultInjection(operation: 1, errno: .ioError))
        #expect(transaction(4) == ["-", "EIO", "ENOMEM", "-"])
    }

    @Test("of two faults at one index the one armed first fires, and only it loses a time")
    func sameIndex() {
        backend.inject(FaultInjection(operation: 0, errno: .outOfMemory, times: 2))
        backend.inject(FaultInjection(operation: 0, errno: .ioError))
        #expect(transaction(1) == ["ENOMEM"])
        #expect(transaction(1) == ["ENOMEM"])
        #expect(transaction(1) == ["EIO"])
        #expect(transaction(1) == ["-"])
    }

    @Test("dirty log calls are not counted")
    func dirtyLogCalls() throws {
        let logging = slot(1, page: 64, flags: .logDirtyPages)
        try backend.apply(.create(logging))
        backend.beginTransaction()
        backend.inject(FaultInjection(operation: 1, errno: .ioError))
        try backend.apply(.create(slot(2, page: 80)))
        _ = try backend.readDirtyLog(of: logging, clear: true)
        #expect(throws: Errno.ioError) { try backend.apply(.delete(logging)) }
    }

    @Test("clearing disarms all")
    func clearing() {
        backend.inject(FaultInjection(operation: 0, errno: .ioError, times: 9))
        backend.inject(FaultInjection(operation: 1, errno: .ioError))
        backend.clearFaults()
        #expect(backend.armedFaults.isEmpty)
        #expect(transaction(2) == ["-", "-"])
    }
}
