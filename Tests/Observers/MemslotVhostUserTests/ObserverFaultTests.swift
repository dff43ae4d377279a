import MemslotTestKit
import Memslots
import Testing

@testable import MemslotVhostUser

@Suite("observer, with a back end that fails at any message")
struct ObserverFaultTests {
    /// Transactions that add, cut, move, remove and exchange.
    private func course(_ vm: VMWithBackEnd) -> [[Memslot]] {
        let far = (0..<8).map { vm.slot(100 + $0 * 4, 2) }
        let first = [vm.slot(0, 64)]
        return [
            first, first + [vm.slot(80, 8)], [vm.slot(0, 40), vm.slot(41, 23), vm.slot(80, 8)],
            [vm.slot(0, 64), vm.slot(90, 8, filePage: 80)], first + far,
            [vm.slot(0, 20), vm.slot(21, 43)] + far, first, [vm.slot(0, 32)],
        ]
    }

    private enum End: CaseIterable {
        case before
        case after
        case acknowledged

        var fault: ScriptedPeer.Fault {
            switch self {
            case .before: .dieBefore
            case .after: .dieAfter
            case .acknowledged: .acknowledgeAndDie
            }
        }
    }

    @Test("a peer that dies is a veto or nothing; the outcome is the old or the new array")
    func everyMessage() throws {
        var deaths = 0
        for memorySlots in [true, false] {
            let whole = try run(memorySlots: memorySlots) { _ in nil }
            #expect(whole.observer.backEndState == .attached)
            for message in 0..<whole.peer.received.count {
                for end in End.allCases {
                    let vm = try run(memorySlots: memorySlots) { $0 == message ? end.fault : nil }
                    #expect(vm.peer.broken == nil)
                    if vm.observer.backEndState != .attached { deaths += 1 }
                }
            }
        }
        #expect(deaths > 300)
    }

    /// Runs the course with a back end that fails, as far as it can be attached.
    private func run(
        memorySlots: Bool, fault: @escaping @Sendable (Int) -> ScriptedPeer.Fault?
    ) throws -> VMWithBackEnd {
        // The setting up is not the observer's.
        let begun = Locked<Int?>(nil)
        let vm = try VMWithBackEnd(
            wanting: memorySlots ? .handled : .handled.subtracting(.memorySlots)
        ) { number, _ in begun.withLock { $0 }.flatMap { fault(number - $0) } }
        let course = course(vm)
        try vm.table.submit(course[0])
        begun.withLock { $0 = vm.peer.received.count }
        vm.peer.state.withLock { $0.received = [] }
        do throws(VhostUserError) {
            try vm.observer.attach(to: vm.table)
            try vm.observer.start(vm.ring(), by: .soon)
        } catch {
            #expect(error.kind == "closed")
        }
        for slots in course.dropFirst() {
            // Without memory slots some are vetoed: they have over 8 regions.
            try submit(slots, to: vm, mayBeVetoed: !memorySlots)
        }
        return vm
    }

    private func submit(_ slots: [Memslot], to vm: VMWithBackEnd, mayBeVetoed: Bool) throws {
        let before = vm.table.snapshot()
        let wasAttached = vm.observer.backEndState == .attached
        do throws(SubmitError) {
            try vm.table.submit(slots)
            let now = vm.table.snapshot()
            #expect(sorted(now.array.slots) == sorted(slots))
        } catch {
            #expect(error.kind == "prepare-rejected")
            #expect(vm.table.snapshot().array == before.array)
            #expect(wasAttached, "a back end that is lost vetoes nothing")
            #expect(mayBeVetoed || vm.observer.backEndState.name == "lost")
            if vm.observer.backEndState.name == "lost" { try vm.table.submit(slots) }
        }
    }

    private func sorted(_ slots: [Memslot]) -> [GuestPhysicalAddress] {
        slots.map(\.guestPhysicalAddress).sorted()
    }

    @Test("random transactions leave the peer with the table's memory", arguments: 0..<24)
    func random(_ seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let memorySlots = seed % 3 != 0
        let vm = try VMWithBackEnd(
            wanting: memorySlots ? .handled : .handled.subtracting(.memorySlots))
        var array = [vm.slot(0, 8)]
        try vm.table.submit(array)
        try vm.observer.attach(to: vm.table)
        try vm.observer.start(vm.ring(), by: .soon)
        var (commits, vetoes) = (0, 0)
        for _ in 0..<60 {
            let wanted = randomSlots(vm, &random)
            if .random(in: 0..<5, using: &random) == 0 {
                vm.backend.failures.withLock { $0 = .random(in: 1...3, using: &random) }
            }
            do throws(SubmitError) {
                try vm.table.submit(wanted)
                array = wanted
                commits += 1
            } catch {
                vetoes += 1
                #expect(error.kind == "rolled-back" || error.kind == "prepare-rejected")
            }
            vm.backend.failures.withLock { $0 = 0 }
            #expect(pages(of: vm.peer.regions) == pages(of: array))
            #expect(vm.peer.broken == nil)
            #expect(vm.peer.state.withLock { $0.rings[0]?.isStarted } == true)
        }
        #expect(vm.observer.backEndState == .attached)
        #expect(commits > 0)
        #expect(vetoes > 0)
    }

    /// Slots over the ring, always with the ring's own pages, and any others.
    private func randomSlots(_ vm: VMWithBackEnd, _ random: inout SeededRandom) -> [Memslot] {
        var slots: [Memslot] = []
        let first: UInt64 = .random(in: 5...20, using: &random)
        let split: UInt64 = .random(in: 1..<first, using: &random)
        slots += [vm.slot(0, split), vm.slot(split, first - split)]
        var page = first
        while page < 120 {
            let count: UInt64 = .random(in: 1...30, using: &random)
            if .random(in: 0..<3, using: &random) > 0 {
                let isMoved = .random(in: 0..<6, using: &random) == 0
                slots.append(vm.slot(page, count, filePage: isMoved ? page + 64 : page))
            }
            page += count
        }
        return slots
    }

    private func pages(of regions: [VhostUserRegion]) -> [UInt64: UInt64] {
        var pages: [UInt64: UInt64] = [:]
        for region in regions {
            for page in 0..<region.size.pageCount {
                pages[region.guestAddress.pageNumber + page] = region.fileOffset.pageCount + page
            }
        }
        return pages
    }

    private func pages(of slots: [Memslot]) -> [UInt64: UInt64] {
        pages(of: RegionChange.initialTable(of: slots))
    }
}
