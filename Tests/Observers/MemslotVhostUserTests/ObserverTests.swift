import Glibc
import MemslotTestKit
import Memslots
import TestSupport
import Testing

@testable import MemslotVhostUser

@Suite("observer")
struct ObserverTests {
    /// A VM whose back end follows it, with a started ring.
    private func started(
        _ vm: VMWithBackEnd, base: UInt32 = 0
    ) throws -> VMWithBackEnd {
        try vm.observer.attach(to: vm.table)
        try vm.observer.start(vm.ring(), base: base, by: .soon)
        return vm
    }

    private func vm(
        wanting: VhostUserProtocolFeatures = .handled,
        offer: ScriptedPeer.Offer = ScriptedPeer.Offer(), regions: UInt64 = 2,
        memory: GuestMemory? = nil,
        fault: @escaping @Sendable (Int, VhostUserRequest) -> ScriptedPeer.Fault? = { _, _ in nil }
    ) throws -> VMWithBackEnd {
        let vm = try VMWithBackEnd(
            offer: offer, wanting: wanting, memory: memory, fault: fault)
        try vm.table.submit(slots(vm, regions: regions))
        return try started(vm)
    }

    /// One slot of 64 pages, and further ones of 2 pages with holes between them.
    private func slots(_ vm: VMWithBackEnd, regions: UInt64) -> [Memslot] {
        [vm.slot(0, 64)] + (1..<regions).map { vm.slot(64 + $0 * 4, 2) }
    }

    private let stopped = restartMessages(1)

    @Test("attaching sends the table, adjacent slots as one region")
    func attach() throws {
        let vm = try VMWithBackEnd()
        try vm.table.submit([vm.slot(0, 32), vm.slot(32, 32), vm.slot(100, 4)])
        #expect(vm.observer.backEndState == .detached)
        let sent = try vm.messages { try vm.observer.attach(to: vm.table) }
        #expect(sent == [.setMemoryTable: 1, .getFeatures: 1])
        #expect(vm.peer.regions.map(\.guestAddress.pageNumber) == [0, 100])
        #expect(vm.observer.backEndState == .attached)
    }

    @Test("rings do not change from inside a transaction, and that does not wait for its end")
    func reentrant() throws {
        final class Meddler: MemslotHook {
            let observer: VhostUserObserver
            let errors = Locked([VhostUserError]())
            var name: String { "meddler" }
            var needsQuiescence: Bool { false }
            init(_ observer: VhostUserObserver) { self.observer = observer }
            func prepare(_ change: MemslotChange) throws(HookVeto) {}
            func finish(_ change: MemslotChange) {}
            func abort(_ change: MemslotChange) {}
            func commit(_ change: MemslotChange) {
                do throws(VhostUserError) { _ = try observer.stop(ring: 0, by: .soon) } catch {
                    errors.withLock { $0.append(error) }
                }
            }
        }
        let vm = try vm()
        let meddler = Meddler(vm.observer)
        vm.table.add(meddler)
        let receipt = try vm.table.submit([vm.slot(0, 64)])
        #expect(meddler.errors.withLock { $0 } == [.reentrant])
        #expect(receipt.observers.map(\.messages) == [vm.observer.report().messages])
        #expect(receipt.observers.first?.messages["REM_MEM_REG"] == 1)
        #expect(try vm.observer.stop(ring: 0, by: .soon) == 0)
    }

    @Test("a slot without a descriptor behind it is an error at attach; a ROM is not seen")
    func attachErrors() throws {
        let vm = try VMWithBackEnd()
        var rom = Memslot(
            guestPhysicalAddress: 0x10_0000, size: .page, userspaceAddress: 0x10_0000,
            flags: .readOnly)
        try vm.table.submit([rom])
        try vm.observer.attach(to: vm.table)
        #expect(vm.peer.regions == [])
        rom.flags = []
        let error = #expect(throws: SubmitError.self) { try vm.table.submit([rom]) }
        #expect(error?.kind == "prepare-rejected")
        let other = try VMWithBackEnd()
        try other.table.submit([rom])
        #expect(throws: VhostUserError.noDescriptor(0x10_0000)) {
            try other.observer.attach(to: other.table)
        }
        #expect(other.observer.messagesSent[.setMemoryTable] == nil)
    }

    @Test("a split and a merge send nothing and stop nothing")
    func nothing() throws {
        let vm = try vm()
        let sent = try vm.messages {
            try vm.table.submit([vm.slot(0, 3), vm.slot(3, 61), vm.slot(68, 2)])
            try vm.table.submit([vm.slot(0, 64), vm.slot(68, 2)])
        }
        #expect(sent == [:])
        #expect(vm.observer.ringStops == 0)
    }

    @Test("an addition is one ADD and a round trip beside the running rings")
    func addition() throws {
        let vm = try vm()
        let sent = try vm.messages {
            try vm.table.submit(slots(vm, regions: 2) + [vm.slot(64, 4), vm.slot(200, 8)])
        }
        #expect(sent == [.addRegion: 2, .getFeatures: 1])
        #expect(vm.observer.ringStops == 0)
        #expect(vm.peer.broken == nil)
    }

    @Test("up to 8 regions a cut is one table, with the rings drained and restarted")
    func cut() throws {
        let vm = try vm()
        let sent = try vm.messages {
            try vm.table.submit([vm.slot(0, 40), vm.slot(41, 23), vm.slot(68, 2)])
        }
        #expect(
            sent == stopped.merging([.setMemoryTable: 1, .getFeatures: 1], uniquingKeysWith: +))
        #expect(vm.observer.ringStops == 1)
        #expect(vm.peer.regions.map(\.guestAddress.pageNumber) == [0, 41, 68])
        expectRunning(vm)
    }

    @Test("over 8 regions a cut removes what loses a page, and adds the fewest")
    func cutOfMany() throws {
        let vm = try vm(regions: 9)
        let sent = try vm.messages {
            try vm.table.submit(
                [vm.slot(0, 40), vm.slot(41, 23)] + slots(vm, regions: 9).dropFirst())
        }
        // The ring in the cut region is parked meanwhile.
        let exchange: [VhostUserRequest: Int] = [
            .removeRegion: 1, .addRegion: 2, .setRingAddresses: 1, .getFeatures: 1,
        ]
        #expect(sent == stopped.merging(exchange, uniquingKeysWith: +))
        #expect(vm.peer.regions.count == 10)
        expectRunning(vm)
    }

    @Test("what only goes is removed after the commit, with the rings drained before it")
    func removal() throws {
        let vm = try vm(regions: 3)
        let sent = try vm.messages { try vm.table.submit(slots(vm, regions: 2)) }
        #expect(
            sent == stopped.merging([.removeRegion: 1, .getFeatures: 1], uniquingKeysWith: +))
        let received = vm.peer.received
        let removal = try #require(received.lastIndex(of: .removeRegion))
        let base = try #require(received.lastIndex(of: .getRingBase))
        let restart = try #require(received.lastIndex(of: .setRingSize))
        #expect(base < removal && removal < restart)
        expectRunning(vm)
    }

    @Test("a move of a region adds before the commit and removes after it")
    func move() throws {
        let vm = try vm()
        let sent = try vm.messages {
            try vm.table.submit([vm.slot(0, 64), vm.slot(300, 2, filePage: 68)])
        }
        let exchange: [VhostUserRequest: Int] = [.addRegion: 1, .removeRegion: 1, .getFeatures: 2]
        #expect(sent == stopped.merging(exchange, uniquingKeysWith: +))
        expectRunning(vm)
    }

    @Test("without memory slots every change is one table, of at most 8 regions")
    func withoutMemorySlots() throws {
        let vm = try vm(wanting: .handled.subtracting(.memorySlots), regions: 7)
        let sent = try vm.messages { try vm.table.submit(slots(vm, regions: 8)) }
        #expect(
            sent == stopped.merging([.setMemoryTable: 1, .getFeatures: 1], uniquingKeysWith: +))
        let more = vm.messages {
            #expect(throws: SubmitError.self) { try vm.table.submit(slots(vm, regions: 9)) }
        }
        #expect(more == [:])
        #expect(vm.peer.regions.count == 8)
        expectRunning(vm)
    }

    @Test("a ring whose buffers are declared elsewhere runs on")
    func narrowed() throws {
        let vm = try VMWithBackEnd()
        try vm.table.submit(slots(vm, regions: 3))
        try vm.observer.attach(to: vm.table)
        vm.peer.state.withLock { $0.toleratesRings = true }
        try vm.observer.start(vm.ring(buffers: [0x6000..<0x9000]), by: .soon)
        let sent = try vm.messages { try vm.table.submit(slots(vm, regions: 2)) }
        #expect(sent == [.removeRegion: 1, .getFeatures: 1])
        #expect(vm.observer.ringStops == 0)
        try vm.table.submit([vm.slot(0, 32), vm.slot(33, 31), vm.slot(68, 2)])
        #expect(vm.observer.ringStops == 1)
    }

    @Test("a change that takes a started ring's memory away is vetoed, and sends nothing")
    func ringMemory() throws {
        let vm = try vm()
        let sent = vm.messages {
            for slots in [
                [vm.slot(0, 4), vm.slot(5, 59)], [vm.slot(8, 50)], [],
                [vm.slot(0, 64, filePage: 64), vm.slot(68, 2)],
            ] {
                let error = #expect(throws: SubmitError.self) { try vm.table.submit(slots) }
                #expect(error?.kind == "prepare-rejected")
            }
        }
        #expect(sent == [:])
        expectRunning(vm)
        _ = try vm.observer.stop(ring: 0, by: .soon)
        try vm.table.submit([vm.slot(0, 4), vm.slot(5, 59)])
        try vm.table.submit([vm.slot(0, 4), vm.slot(5, 59), vm.slot(100, 4)])
        #expect(vm.peer.broken == nil)
    }

    @Test(
        "a refused exchange is a veto: the former table is back, and the rings run",
        arguments: [VhostUserRequest.setMemoryTable, .addRegion, .removeRegion])
    func refusal(_ request: VhostUserRequest) throws {
        let refuses = Locked(false)
        let count: UInt64 = request == .setMemoryTable ? 2 : 9
        let vm = try vm(regions: count) { _, got in
            guard got == request else { return nil }
            return refuses.withLock { refuses in
                defer { refuses = false }
                return refuses ? .refuse(12) : nil
            }
        }
        let before = vm.peer.regions
        refuses.withLock { $0 = true }
        let wanted = [vm.slot(0, 40), vm.slot(41, 23)] + slots(vm, regions: count).dropFirst()
        let error = #expect(throws: SubmitError.self) { try vm.table.submit(wanted) }
        #expect(error?.message.contains("refused \(request.name) with status 12") == true)
        #expect(vm.peer.regions == before)
        #expect(vm.table.snapshot().generation == 1)
        expectRunning(vm)
        try vm.table.submit(wanted)
        #expect(vm.observer.backEndState == .attached)
    }

    @Test("a failed slot call restores the former table", arguments: [2, 9] as [UInt64])
    func rollback(_ count: UInt64) throws {
        let vm = try vm(regions: count)
        let before = vm.peer.regions
        let rest = slots(vm, regions: count).dropFirst()
        for wanted in [
            [vm.slot(0, 40), vm.slot(41, 23)] + rest,  // a cut
            slots(vm, regions: count) + [vm.slot(200, 4)],  // an addition
            Array(slots(vm, regions: count - 1)),  // a removal
        ] {
            vm.backend.failures.withLock { $0 = 1 }
            let error = #expect(throws: SubmitError.self) { try vm.table.submit(wanted) }
            #expect(error?.kind == "rolled-back")
            #expect(vm.peer.regions == before)
            expectRunning(vm)
        }
        #expect(vm.observer.backEndState == .attached)
    }

    @Test("a ring that stops with requests in flight is waited for")
    func inFlight() throws {
        let vm = try vm()
        vm.setIndexes(available: 3, used: 1)
        vm.peer.state.withLock { $0.baseWhenStopped[0] = 3 }
        let memory = vm.memory
        let peer = vm.peer
        try OwnThread {
            // The back end completes its requests after it has replied.
            try? waitUntil("GET_VRING_BASE") { peer.received.contains(.getRingBase) }
            memory.store(3 << 16, 4 * 4_096)
        }.detach()
        try vm.table.submit(
            [vm.slot(0, 40), vm.slot(41, 23), vm.slot(68, 2)],
            options: SubmitOptions(quiesceDeadline: .seconds(30)))
        #expect(vm.peer.state.withLock { $0.rings[0]?.base } == 3)
        expectRunning(vm)
    }

    @Test("a slow request is returned before its ring stops; its driver is not notified meanwhile")
    func slow() throws {
        let isEmpty = Locked([Bool]())
        let memory = try GuestMemory(size: .pages(VMWithBackEnd.pages))
        let vm = try vm(memory: memory) { _, request in
            request != .getRingBase
                ? nil
                : .run { _ in
                    isEmpty.withLock { $0.append(memory.load(4 * 4_096) == 1 << 16) }
                }
        }
        vm.setIndexes(available: 1, used: 0)
        vm.peer.state.withLock { $0.baseWhenStopped[0] = 1 }
        let peer = vm.peer
        let before = peer.received.count { $0 == .setRingCall }
        try OwnThread {
            // Many times longer than a request takes that the back end executes at once.
            try? waitUntil("the call") { peer.received.count { $0 == .setRingCall } > before }
            usleep(40_000)
            memory.store(1 << 16, 4 * 4_096)
        }.detach()
        try vm.table.submit(
            [vm.slot(0, 40), vm.slot(41, 23), vm.slot(68, 2)],
            options: SubmitOptions(quiesceDeadline: .seconds(30)))
        #expect(isEmpty.withLock { $0 } == [true])
        let rings: Set<VhostUserRequest> = [.setRingCall, .setRingKick, .getRingBase]
        let order = peer.received.filter(rings.contains)
        #expect(
            order.suffix(6) == [
                .setRingCall, .setRingKick, .getRingBase, .setRingCall, .setRingKick, .setRingCall,
            ])
        expectRunning(vm)
    }

    @Test("a ring that never pauses, because its driver needs no notification, is stopped in time")
    func endless() throws {
        let memory = try GuestMemory(size: .pages(VMWithBackEnd.pages))
        let isStopped = Locked(false)
        let last: UInt16 = 40_000
        @Sendable func set(available: UInt16, used: UInt16) {
            memory.store(UInt32(available) << 16, 3 * 4_096)
            memory.store(UInt32(used) << 16, 4 * 4_096)
        }
        let vm = try vm(memory: memory) { _, request in
            request != .getRingBase
                ? nil
                : .run { _ in
                    isStopped.withLock { $0 = true }
                    set(available: last, used: last)
                }
        }
        vm.peer.state.withLock { $0.baseWhenStopped[0] = UInt32(last) }
        set(available: 2, used: 0)
        // Two requests are in the ring at any time.
        let driver = try OwnThread {
            var index: UInt16 = 2
            while true {
                index = index == last - 1 ? 2 : index + 1
                let goesOn = isStopped.withLock { isStopped in
                    if !isStopped { set(available: index, used: index - 2) }
                    return !isStopped
                }
                if !goesOn { return }
                usleep(20)
            }
        }
        try vm.table.submit(
            [vm.slot(0, 40), vm.slot(41, 23), vm.slot(68, 2)],
            options: SubmitOptions(quiesceDeadline: .seconds(20)))
        driver.join()
        expectRunning(vm)
    }

    /// How long two submits take that stop the ring.
    private func timesOfTwoStops(_ vm: VMWithBackEnd) throws -> [Duration] {
        try ([41, 42] as [UInt64]).map { cut in
            let start = ContinuousClock.now
            try vm.table.submit(
                [vm.slot(0, 40), vm.slot(cut, 64 - cut), vm.slot(68, 2)],
                options: SubmitOptions(quiesceDeadline: .seconds(30)))
            return ContinuousClock.now - start
        }
    }

    @Test("a ring whose driver polls rests sooner, and is none that keeps buffers")
    func polled() throws {
        let vm = try vm()
        vm.setIndexes(available: 2, used: 0)
        let last = vm.ring().size + 20
        vm.peer.state.withLock { $0.baseWhenStopped[0] = UInt32(last - 2) }
        let peer = vm.peer
        let before = peer.received.count { $0 == .setRingKick }
        try OwnThread {
            try? waitUntil("the kick") { peer.received.count { $0 == .setRingKick } > before }
            // More than the ring holds, though nobody called.
            vm.setIndexes(available: last, used: last - 2)
        }.detach()
        let times = try timesOfTwoStops(vm)
        // The second time nothing is added. A ratio of 10 on an idle host.
        #expect(times[1] > times[0] * 2, "\(times)")
        expectRunning(vm)
    }

    @Test("buffers that a back end keeps cost the long wait once")
    func keptBuffers() throws {
        let vm = try vm()
        vm.setIndexes(available: 8, used: 3)
        vm.peer.state.withLock { $0.baseWhenStopped[0] = 3 }
        let times = try timesOfTwoStops(vm)
        // A ratio of 200 on an idle host.
        #expect(times[0] > times[1] * 2, "\(times)")
        #expect(vm.observer.ringStops == 2)
        expectRunning(vm)
    }

    @Test("of a back end that waits by itself, the kick is left alone, and the used index counts")
    func waitingBackEnd() throws {
        let vm = try VMWithBackEnd(waitsForRequests: true)
        try vm.table.submit(slots(vm, regions: 2))
        _ = try started(vm)
        vm.setIndexes(available: 5, used: 4)
        vm.peer.state.withLock { $0.baseWhenStopped[0] = 3 }
        let sent = try vm.messages {
            try vm.table.submit([vm.slot(0, 40), vm.slot(41, 23), vm.slot(68, 2)])
        }
        #expect(sent[.setRingKick] == 1)
        #expect(vm.peer.state.withLock { $0.rings[0]?.base } == 4)
        expectRunning(vm)
    }

    @Test("requests that never end are a veto, and the ring continues where it was")
    func neverDrained() throws {
        let vm = try vm()
        vm.setIndexes(available: 3, used: 1)
        vm.peer.state.withLock { $0.baseWhenStopped[0] = 3 }
        let error = #expect(throws: SubmitError.self) {
            try vm.table.submit(
                [vm.slot(0, 40), vm.slot(41, 23), vm.slot(68, 2)],
                options: SubmitOptions(quiesceDeadline: .milliseconds(50)))
        }
        #expect(error?.message.contains("ring 0 has requests in flight") == true)
        #expect(vm.observer.backEndState == .attached)
        #expect(vm.peer.state.withLock { $0.rings[0]?.base } == 3)
        expectRunning(vm)
    }

    @Test("a restarted ring's kick and call are signalled, since either may have been lost")
    func signals() throws {
        let vm = try vm()
        var value: UInt64 = 0
        for event in [vm.kick, vm.call] { read(event.number, &value, 8) }
        try vm.table.submit([vm.slot(0, 40), vm.slot(41, 23), vm.slot(68, 2)])
        for event in [vm.kick, vm.call] {
            var entry = pollfd(fd: event.number, events: Int16(POLLIN), revents: 0)
            #expect(poll(&entry, 1, 0) == 1)
        }
    }

    @Test("a new connection with room for fewer regions gets the table in fewer")
    func reconnectWithFewerRegions() throws {
        let dies = Locked(false)
        let vm = try vm { _, request in
            request == .addRegion && dies.withLock { $0 } ? .dieBefore : nil
        }
        func array(_ additions: UInt64) -> [Memslot] {
            [vm.slot(0, 40)] + (0..<additions).map { vm.slot(40 + $0, 1) }
        }
        for additions in 0...10 as ClosedRange<UInt64> { try vm.table.submit(array(additions)) }
        #expect(vm.peer.regions.count == 11)
        dies.withLock { $0 = true }
        #expect(throws: SubmitError.self) { try vm.table.submit(array(11)) }
        var offer = ScriptedPeer.Offer()
        offer.protocolFeatures &= ~(1 << 15)
        let next = try ScriptedPeer(offer)
        let front = VhostUserFrontEnd(adopting: next.frontEnd)
        let opened = try front.open(by: .soon)
        try front.set([.version1], by: .soon)
        try vm.observer.reconnect(front, offer: opened, by: .soon)
        #expect(next.regions.count == 1)
    }

    @Test(
        "a lost back end restarts its rings only if its requests in flight survived",
        arguments: [true, false])
    func reconnect(_ keepsRequests: Bool) throws {
        var offer = ScriptedPeer.Offer()
        if keepsRequests { offer.protocolFeatures |= 1 << 12 }
        let vm = try vm(offer: offer) { _, request in request == .addRegion ? .dieBefore : nil }
        #expect(throws: SubmitError.self) {
            try vm.table.submit(slots(vm, regions: 2) + [vm.slot(200, 4)])
        }
        #expect(vm.observer.backEndState.name == "lost")
        try vm.table.submit(slots(vm, regions: 2) + [vm.slot(200, 4)])
        vm.setIndexes(available: 5, used: 4)
        let next = try ScriptedPeer(offer)
        let front = VhostUserFrontEnd(adopting: next.frontEnd)
        let opened = try front.open(by: .soon)
        try front.set([.version1], by: .soon)
        try vm.observer.reconnect(front, offer: opened, by: .soon)
        #expect(next.regions.count == 3)
        let ring = next.state.withLock { $0.rings[0] }
        if keepsRequests {
            #expect(vm.observer.backEndState == .attached)
            #expect(ring?.isStarted == true && ring?.base == 4)
            let order = next.received.filter { $0 == .setInflight || $0 == .setRingKick }
            #expect(order == [.setInflight, .setRingKick])
        } else {
            #expect(vm.observer.backEndState == .needsReset)
            #expect(ring == nil)
            try vm.observer.start(vm.ring(), by: .soon)
            #expect(vm.observer.backEndState == .attached)
        }
        #expect(
            vm.states.withLock { $0.map(\.name) }
                == (keepsRequests ? ["lost"] : ["lost", "needs-reset"]))
    }

    private func expectRunning(
        _ vm: VMWithBackEnd, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let base: UInt64 = 1 << 60
        let ring = vm.peer.state.withLock { $0.rings[0] }
        #expect(vm.peer.broken == nil, sourceLocation: sourceLocation)
        #expect(
            ring?.isStarted == true && ring?.isEnabled == true && ring?.hasCall == true,
            sourceLocation: sourceLocation)
        #expect(
            ring?.addresses == [base + 0x2000, base + 0x4000, base + 0x3000],
            sourceLocation: sourceLocation)
    }
}
