import MemslotSimulator
import Memslots
import Testing

/// Mutations that no other test detects.
@Suite("mutations that other tests missed")
struct MissedMutationTests {
    private func slot(
        _ id: UInt32, page: UInt64, pages: UInt64 = 4, host: UInt64, flags: MemslotFlags = []
    ) -> Memslot {
        Memslot(
            id: SlotID(id), guestPhysicalAddress: GuestPhysicalAddress(page << 12),
            size: ByteCount(pages << 12), userspaceAddress: UserspaceAddress(host << 12),
            flags: flags)
    }

    @Test("a receipt has a blackout if vCPUs were held, and none otherwise")
    func blackout() throws {
        let table = try MemslotTable(backend: SimulatedBackend())
        let beside = try table.submit([slot(0, page: 0, host: 0x100)])
        #expect(!beside.quiesced)
        #expect(beside.durations.nanoseconds.blackout == 0)
        let held = try table.submit([slot(0, page: 8, host: 0x100)])
        #expect(held.quiesced)
        #expect(held.durations.nanoseconds.blackout > 0)
        #expect(held.durations.nanoseconds.blackout <= held.durations.nanoseconds.total)
        #expect(held.durations.nanoseconds.apply <= held.durations.nanoseconds.blackout)
    }

    @Test("writes of a guest that was released on a failed VM are reported after the recovery")
    func writesBeforeRecovery() throws {
        let backend = SimulatedBackend()
        let table = try MemslotTable(backend: backend)
        let before = [slot(0, page: 0, host: 0x100, flags: .logDirtyPages)]
        try table.submit(before)
        // An alias of pages 2 and 3, whose delete fails.
        let alias = slot(1, page: 16, pages: 2, host: 0x102, flags: .logDirtyPages)
        backend.inject(FaultInjection(operation: 1, errno: .outOfMemory))
        backend.inject(FaultInjection(operation: 2, errno: .outOfMemory))
        #expect(throws: SubmitError.self) {
            try table.submit(before + [alias, slot(2, page: 32, host: 0x200)])
        }
        #expect(table.failure?.installed == before + [alias])
        table.releaseVCPUs()
        try backend.touch(GuestPhysicalAddress(17 << 12), size: ByteCount(1))
        try table.recover()
        #expect(try table.dirtyLog(of: before[0].assignedKey).bitmap.runs == [3..<4])
        #expect(backend.installedSlots == before)
    }

    @Test(
        "a log that had ended when the guest of a failed VM was released is full after the recovery"
    )
    func writesWithoutLog() throws {
        let backend = SimulatedBackend()
        let table = try MemslotTable(backend: backend)
        let before = [
            slot(0, page: 0, host: 0x100, flags: .logDirtyPages),
            slot(1, page: 32, host: 0x200, flags: .logDirtyPages),
        ]
        let wanted = [slot(0, page: 0, host: 0x100), slot(1, page: 32, host: 0x200)]
        try table.submit(before)
        _ = try table.dirtyLog(of: before[0].assignedKey, clear: true)
        let endsLogging = try table.plan(wanted).operations.map(\.call.endsLogging)
        #expect(endsLogging == [true, true])
        // The second reflag fails, and so does the undo of the first.
        for operation in 1...2 {
            backend.inject(FaultInjection(operation: operation, errno: .outOfMemory))
        }
        #expect(throws: SubmitError.self) { try table.submit(wanted) }
        #expect(table.failure?.installed == [wanted[0], before[1]])
        table.releaseVCPUs()
        try backend.touch(GuestPhysicalAddress(1 << 12), size: ByteCount(1))
        // A recovery that fails holds them again; what they wrote before stays unknown.
        backend.inject(FaultInjection(operation: 0, errno: .outOfMemory))
        #expect(throws: SubmitError.self) { try table.recover() }
        try table.recover()
        let log = try table.dirtyLog(of: before[0].assignedKey)
        #expect(log.bitmap.count == before[0].pageCount)
        #expect(try table.dirtyLog(of: before[1].assignedKey).bitmap.isEmpty)
    }

    @Test("clearing whole words past the end of a slot's log is refused")
    func clearPastTheEnd() throws {
        var kernel = SimulatedKernel()
        let logging = slot(0, page: 0, pages: 100, host: 0x100, flags: .logDirtyPages)
        try kernel.setMemoryRegion(logging)
        try kernel.touch(GuestPhysicalAddress(0), size: ByteCount(1))
        for (first, count, words) in [(0, 128, 2), (64, 64, 1)] as [(UInt64, UInt32, Int)] {
            #expect(throws: Errno.invalidArgument) {
                try kernel.clearDirtyLog(
                    of: logging.assignedKey, firstPage: first, pageCount: count,
                    words: Array(repeating: ~0, count: words))
            }
        }
        #expect(try kernel.getDirtyLog(of: logging.assignedKey).runs == [0..<1])
    }
}
