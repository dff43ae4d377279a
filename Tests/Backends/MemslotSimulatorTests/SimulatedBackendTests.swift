import MemslotSimulator
import Memslots
import Testing

@Suite("simulated backend")
struct SimulatedBackendTests {
    let memory = MemoryReference(object: MemoryObjectID(7), offset: .pages(3))

    @Test("each call and its inverse restore the slots")
    func inverses() throws {
        let backend = SimulatedBackend()
        let old = slot(0, page: 16)
        try backend.apply(.create(old))
        let calls: [SlotCall] = [
            .move(from: old, to: slot(0, page: 32, flags: .logDirtyPages)),
            .reflag(from: old, to: slot(0, page: 16, flags: .logDirtyPages)),
            .create(slot(1, page: 64)), .delete(old),
        ]
        for call in calls {
            try backend.apply(call)
            #expect(backend.installedSlots != [old])
            try backend.apply(call.inverse)
            #expect(backend.installedSlots == [old])
        }
        #expect(backend.swapCount == 1 + 4 + 2 + 3 + 3)
    }

    @Test("installed slots are returned as they were given, sorted, with their memory references")
    func installedSlots() throws {
        let backend = SimulatedBackend(capabilities: Capabilities(addressSpaces: 2))
        var named = slot(5, page: 16)
        named = Memslot(
            id: named.id, guestPhysicalAddress: named.guestPhysicalAddress, size: named.size,
            userspaceAddress: named.userspaceAddress, memory: memory)
        let others = [slot(0, page: 16, space: 1), slot(2, page: 64)]
        for words in others + [named] { try backend.apply(.create(words)) }
        #expect(backend.installedSlots == [others[1], named, others[0]])
        #expect(backend.installedSlots[1].memory == memory)
    }

    @Test(
        "reading a log with clear empties it, with each protection",
        arguments: DirtyLogProtection.allCases)
    func readDirtyLog(protection: DirtyLogProtection) throws {
        let backend = SimulatedBackend(dirtyLogProtection: protection)
        #expect(backend.capabilities.dirtyLogStartsFull == (protection == .manualInitiallySet))
        let logging = slot(0, page: 0, pages: 70, flags: .logDirtyPages)
        try backend.apply(.create(logging))
        _ = try backend.readDirtyLog(of: logging, clear: true)
        try backend.touch(GuestPhysicalAddress(66 * 4096), size: ByteCount(1))
        #expect(try backend.readDirtyLog(of: logging, clear: false).runs == [66..<67])
        let kept = try backend.readDirtyLog(of: logging, clear: true).runs
        #expect(kept == (protection == .automatic ? [] : [66..<67]))
        #expect(try backend.readDirtyLog(of: logging, clear: true).isEmpty)
        #expect(throws: Errno.noEntry) {
            try backend.readDirtyLog(of: slot(1, page: 0), clear: true)
        }
    }

    @Test("guest-memfd files: handles, sizes, ranges, closing")
    func guestMemfd() throws {
        var configuration = SimulatorConfiguration()
        configuration.flags = [.logDirtyPages, .guestMemfd]
        let backend = try SimulatedBackend(configuration: configuration)
        #expect(throws: Errno.invalidArgument) { try backend.makeGuestMemfd(size: .zero) }
        #expect(throws: Errno.invalidArgument) {
            try backend.makeGuestMemfd(size: ByteCount(4097))
        }
        let file = try backend.makeGuestMemfd(size: .pages(8))
        func bound(_ id: UInt32, offset: UInt64) -> Memslot {
            let binding = GuestMemfdBinding(descriptor: file, offset: .pages(offset))
            return slot(id, page: UInt64(id) * 16, flags: .guestMemfd, guestMemfd: binding)
        }
        try backend.apply(.create(bound(0, offset: 4)))
        #expect(throws: Errno.invalidArgument) {
            try backend.apply(.create(bound(1, offset: 1)))
        }
        #expect(throws: Errno.invalidArgument) {
            try backend.apply(.create(bound(1, offset: 5)))
        }
        try backend.apply(.create(bound(1, offset: 0)))
        try backend.closeGuestMemfd(file)
        #expect(throws: Errno.badFileDescriptor) { try backend.closeGuestMemfd(file) }
        #expect(throws: Errno.badFileDescriptor) {
            try backend.apply(.create(bound(2, offset: 0)))
        }
        #expect(backend.installedSlots == [bound(0, offset: 4), bound(1, offset: 0)])
        try backend.apply(.delete(bound(0, offset: 4)))
        #expect(throws: Errno(rawValue: 25)) {
            try SimulatedBackend().makeGuestMemfd(size: .pages(8))
        }
    }

    @Test("a slot that names no file has its own")
    func ownFiles() throws {
        let backend = SimulatedBackend(
            capabilities: Capabilities(flags: .guestMemfd, providesGuestMemfd: true))
        let own = slot(0, page: 16, flags: .guestMemfd, guestMemfd: .own)
        try backend.apply(.create(own))
        try backend.apply(.create(slot(1, page: 32, flags: .guestMemfd, guestMemfd: .own)))
        #expect(backend.installedSlots.first == own)
        #expect(throws: Errno.invalidArgument) { try backend.apply(.create(own)) }
        try backend.apply(.delete(own))
        try backend.apply(.create(own))
        #expect(backend.installedSlots.count == 2)
    }

    @Test("slots created by several threads at once are all installed")
    func threads() async throws {
        let backend = SimulatedBackend()
        await withTaskGroup(of: Void.self) { group in
            for part in 0..<8 as Range<UInt32> {
                group.addTask {
                    for id in part * 100..<part * 100 + 100 {
                        try? backend.apply(.create(slot(id, page: UInt64(id) * 4)))
                    }
                }
            }
        }
        #expect(backend.installedSlots.map(\.assignedID.rawValue) == Array(0..<800))
        #expect(backend.swapCount == 800)
    }
}
