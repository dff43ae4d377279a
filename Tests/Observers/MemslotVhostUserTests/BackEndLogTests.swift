import Memslots
import Testing

@testable import MemslotVhostUser

@Suite("dirty log of a back end")
struct BackEndLogTests {
    private func vm(
        _ slots: (VMWithBackEnd) -> [Memslot], offer: ScriptedPeer.Offer = ScriptedPeer.Offer(),
        fault: @escaping @Sendable (Int, VhostUserRequest) -> ScriptedPeer.Fault? = { _, _ in nil }
    ) throws -> VMWithBackEnd {
        let vm = try VMWithBackEnd(offer: offer, fault: fault)
        try vm.table.submit(slots(vm))
        try vm.observer.attach(to: vm.table)
        try vm.observer.start(vm.ring(), by: .soon)
        return vm
    }

    private func dirtyPages(_ vm: VMWithBackEnd, at page: UInt64) throws -> [Range<UInt64>] {
        let slot = try #require(
            vm.table.snapshot().array.slots.first { $0.guestPhysicalAddress.pageNumber == page })
        return try vm.table.dirtyLog(of: slot).bitmap.runs
    }

    @Test("begins beside running rings with the first slot that logs, and ends with the last")
    func course() throws {
        let vm = try vm({ [$0.slot(0, 64)] })
        #expect(vm.observer.messagesSent[.setLogBase] == nil)
        let began = try vm.messages { try vm.table.submit([vm.slot(0, 64).logging(true)]) }
        #expect(began == [.setLogBase: 1, .setFeatures: 1, .setRingAddresses: 1])
        #expect(vm.peer.state.withLock { $0.rings[0]?.logsUsed } == true)
        #expect(vm.peer.recordWrite(10))
        #expect(try dirtyPages(vm, at: 0) == [10..<11])
        // A split of slots that log sends nothing.
        let split = try vm.messages {
            try vm.table.submit([vm.slot(0, 9).logging(true), vm.slot(9, 55).logging(true)])
        }
        #expect(split == [:])
        #expect(try dirtyPages(vm, at: 9) == [1..<2])
        #expect(vm.peer.recordWrite(11))
        var unmapped: [DirtyPages] = []
        let ended = try vm.messages {
            unmapped = try vm.table.submit([vm.slot(0, 64)]).unmappedDirtyPages
        }
        #expect(ended == [.setFeatures: 1, .setRingAddresses: 1])
        #expect(unmapped.map(\.runs) == [[1..<3]])
        #expect(vm.peer.state.withLock { $0.rings[0]?.logsUsed } == false)
        #expect(!vm.peer.recordWrite(12))
    }

    @Test("grows before memory that it has no bit for, and keeps what was recorded")
    func growth() throws {
        let vm = try vm({ [$0.slot(0, 64).logging(true)] })
        #expect(vm.peer.recordWrite(10))
        let far: UInt64 = 1 << 20
        let sent = try vm.messages {
            try vm.table.submit(
                [vm.slot(0, 64).logging(true), vm.slot(far, 4, filePage: 100).logging(true)])
        }
        #expect(sent == [.setLogBase: 1, .addRegion: 1, .getFeatures: 1])
        let received = vm.peer.received
        #expect(
            try #require(received.lastIndex(of: .setLogBase))
                < (try #require(received.lastIndex(of: .addRegion))))
        #expect(vm.peer.recordWrite(far + 3))
        #expect(try dirtyPages(vm, at: 0) == [10..<11])
        #expect(try dirtyPages(vm, at: far) == [3..<4])
    }

    @Test("is translated by the table in force when a page was written")
    func translation() throws {
        let vm = try vm({ [$0.slot(0, 64).logging(true), $0.slot(80, 4).logging(true)] })
        #expect(vm.peer.recordWrite(82))
        #expect(vm.peer.recordWrite(5))
        // The page at 82 moves to 92, and other memory comes to its address.
        try vm.table.submit([
            vm.slot(0, 64).logging(true), vm.slot(90, 4, filePage: 80).logging(true),
            vm.slot(80, 4, filePage: 100).logging(true),
        ])
        #expect(try dirtyPages(vm, at: 90) == [2..<3])
        #expect(try dirtyPages(vm, at: 80) == [])
        #expect(try dirtyPages(vm, at: 0) == [5..<6])
        #expect(vm.peer.recordWrite(82))
        #expect(try dirtyPages(vm, at: 80) == [2..<3])
        #expect(vm.peer.broken == nil)
    }

    @Test("ends again, and loses nothing, when the transaction that began it is undone")
    func rollback() throws {
        let vm = try vm({ [$0.slot(0, 64)] })
        vm.backend.failures.withLock { $0 = 1 }
        #expect(throws: SubmitError.self) {
            try vm.table.submit([vm.slot(0, 64).logging(true)])
        }
        #expect(!vm.peer.recordWrite(1))
        try vm.table.submit([vm.slot(0, 64).logging(true)])
        #expect(vm.peer.recordWrite(1))
        vm.backend.failures.withLock { $0 = 1 }
        #expect(throws: SubmitError.self) { try vm.table.submit([vm.slot(0, 64)]) }
        #expect(vm.peer.recordWrite(2))
        #expect(try dirtyPages(vm, at: 0) == [1..<3])
    }

    @Test("is required: where the back end has none, a slot that logs is vetoed")
    func required() throws {
        var offer = ScriptedPeer.Offer()
        offer.protocolFeatures &= ~(1 << 1)
        let vm = try vm({ [$0.slot(0, 64)] }, offer: offer)
        let error = #expect(throws: SubmitError.self) {
            try vm.table.submit([vm.slot(0, 64).logging(true)])
        }
        #expect(error?.kind == "prepare-rejected")
        #expect(vm.observer.backEndState == .attached)
    }

    @Test("goes on with a new connection, and keeps what the former one recorded")
    func reconnect() throws {
        let vm = try vm({ [$0.slot(0, 64).logging(true)] }) { _, request in
            request == .addRegion ? .dieBefore : nil
        }
        #expect(vm.peer.recordWrite(7))
        let more = [vm.slot(0, 64).logging(true), vm.slot(90, 4)]
        #expect(throws: SubmitError.self) { try vm.table.submit(more) }
        let next = try ScriptedPeer()
        let front = VhostUserFrontEnd(adopting: next.frontEnd)
        let offer = try front.open(by: .soon)
        try front.set([.version1], by: .soon)
        try vm.observer.reconnect(front, offer: offer, by: .soon)
        #expect(next.recordWrite(8))
        #expect(try dirtyPages(vm, at: 0) == [7..<9])
    }
}
