import Glibc
import MemslotTestKit
import Memslots
import Testing

@testable import MemslotKVM

extension OnKVM {
    @Suite("dirty log")
    struct DirtyLogTests {
        static let modes: [DirtyLogMode] = [
            .clearedByReading, .manual, .manualInitiallySet, .ring(bytes: 65536),
        ]

        /// Every page of the region but the last, which is outside the logging slot.
        private func guest(
            _ kind: GuestKind, _ mode: DirtyLogMode
        ) throws -> (GuestVM, logged: Memslot) {
            let guest = try GuestVM(kind, options: KVMOptions(dirtyLog: mode))
            let logged = try guest.slot(count: 15, flags: .logDirtyPages)
            try guest.backend.apply(.create(logged))
            try guest.backend.apply(.create(guest.slot(id: 2, first: 15, count: 1)))
            return (guest, logged)
        }

        private func pages(
            _ guest: GuestVM, _ slot: Memslot, clear: Bool
        ) throws -> [Range<UInt64>] {
            try guest.backend.readDirtyLog(of: slot, clear: clear).runs
        }

        @Test("pages that a guest writes are reported, and cleared with clear", arguments: modes)
        func clear(mode: DirtyLogMode) throws {
            for kind in GuestKind.allCases {
                let (guest, logged) = try guest(kind, mode)
                let isFull = guest.backend.capabilities.dirtyLogStartsFull
                #expect(isFull == (mode == .manualInitiallySet))
                #expect(try pages(guest, logged, clear: true) == (isFull ? [0..<15] : []))
                #expect(try pages(guest, logged, clear: true) == [])
                for round in 1...3 as ClosedRange<UInt32> {
                    #expect(guest.isDone(try guest.run(toRound: round)))
                    #expect(try pages(guest, logged, clear: true) == [0..<15], "\(kind) \(round)")
                    #expect(try pages(guest, logged, clear: true) == [])
                }
            }
        }

        @Test(
            "without clear the log stays in the modes in which reading does not clear",
            arguments: modes)
        func keep(mode: DirtyLogMode) throws {
            let (guest, logged) = try guest(.real, mode)
            #expect(guest.isDone(try guest.run(toRound: 1)))
            #expect(try pages(guest, logged, clear: false) == [0..<15])
            let stays = mode != .clearedByReading
            #expect(try pages(guest, logged, clear: false) == (stays ? [0..<15] : []))
        }

        @Test(
            "a move keeps the log, a slot that is created again has an empty one", arguments: modes)
        func move(mode: DirtyLogMode) throws {
            let (guest, logged) = try guest(.real, mode)
            _ = try pages(guest, logged, clear: true)
            #expect(guest.isDone(try guest.run(toRound: 1)))
            var moved = logged
            moved.guestPhysicalAddress = GuestPhysicalAddress(0x8000_0000)
            try guest.backend.apply(.move(from: logged, to: moved))
            #expect(try pages(guest, moved, clear: false) == [0..<15])
            try guest.backend.apply(.delete(moved))
            try guest.backend.apply(.create(moved))
            let fresh: [Range<UInt64>] = mode == .manualInitiallySet ? [0..<15] : []
            #expect(try pages(guest, moved, clear: true) == fresh)
        }

        @Test("only a slot that logs has a log", arguments: modes)
        func notLogging(mode: DirtyLogMode) throws {
            let (guest, logged) = try guest(.real, mode)
            var silent = logged
            silent.flags = []
            try guest.backend.apply(.reflag(from: logged, to: silent))
            #expect(throws: Errno.noEntry) {
                try guest.backend.readDirtyLog(of: silent, clear: false)
            }
            #expect(guest.isDone(try guest.run(toRound: 1)))
            try guest.backend.apply(.reflag(from: silent, to: logged))
            let fresh: [Range<UInt64>] = mode == .manualInitiallySet ? [0..<15] : []
            #expect(try pages(guest, logged, clear: false) == fresh)
        }

        @Test(
            "a full ring is drained, and no page is missing", arguments: GuestKind.allCases)
        func fullRing(kind: GuestKind) throws {
            // A ring of one page has 256 entries; the region has more pages. The emulator of a
            // nested host overruns it.
            let guest = try GuestVM(
                kind, pages: 600, options: KVMOptions(dirtyLog: .ring(bytes: 4096)))
            let logged = try guest.slot(flags: .logDirtyPages)
            try guest.backend.apply(.create(logged))
            var fullRings = 0
            for round in 1...40 as ClosedRange<UInt32> {
                guest.memory.store(round, guest.offset(of: guest.program.limit))
                var exit = try guest.vcpu.run()
                while exit == .dirtyRingFull {
                    fullRings += 1
                    try guest.backend.collectDirtyRings(afterFullRingOf: guest.vcpu.descriptor)
                    exit = try guest.vcpu.run()
                }
                #expect(guest.isDone(exit), "\(exit)")
                guest.backend.collectDirtyPages()
                let runs = try pages(guest, logged, clear: true)
                #expect(runs == [0..<600], "round \(round)")
            }
            #expect(fullRings >= 40)
            #expect(guest.wrongPages == [])
        }

        @Test("an entry of a deleted slot does not mark a new slot with its id")
        func oldEntries() throws {
            let (guest, logged) = try guest(.real, .ring(bytes: 65536))
            #expect(guest.isDone(try guest.run(toRound: 1)))
            // The ring still has the entries when the id changes its meaning.
            try guest.backend.apply(.delete(logged))
            try guest.backend.apply(.create(logged))
            #expect(try pages(guest, logged, clear: false) == [])
        }

        @Test("a reading that fails after clearing reports every page")
        func lostBits() throws {
            let (guest, logged) = try guest(.real, .clearedByReading)
            #expect(guest.isDone(try guest.run(toRound: 1)))
            let log = KernelDirtyLog(vm: guest.backend.vm.descriptor, mode: .clearedByReading)
            let errno = try #require(log.get(logged, into: nil))
            #expect(errno == .badAddress)
            #expect(log.losesBits(errno))
            #expect(!KernelDirtyLog(vm: log.vm, mode: .manual).losesBits(errno))
            #expect(!log.losesBits(.noEntry))
            // The kernel has cleared its log: these bits would be lost.
            #expect(try pages(guest, logged, clear: false) == [])
            #expect(DirtyBitmap.full(pageCount: 15).runs == [0..<15])
        }
    }
}
