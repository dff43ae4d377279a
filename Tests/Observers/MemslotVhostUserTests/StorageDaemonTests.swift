import Foundation
import MemslotTestKit
import Memslots
import TestSupport
import Testing

@testable import MemslotVhostUser

/// A VM whose disk is a real qemu-storage-daemon.
private struct DiskVM {
    static let blocks = 512
    let memory: GuestMemory
    let table: MemslotTable
    let daemon: StorageDaemon
    let front: VhostUserFrontEnd
    let observer: VhostUserObserver
    let guest: BlockGuest

    init(
        _ kind: StorageDaemon.Kind = .disk, wanting: VhostUserProtocolFeatures = .handled
    ) throws {
        memory = try GuestMemory(size: .pages(4_096))
        table = try MemslotTable(backend: AcceptingBackend())
        daemon = try StorageDaemon(kind, blocks: Self.blocks)
        front = try daemon.connect()
        let offer = try front.open(wanting: wanting, by: .soon)
        try front.set([.version1], by: .soon)
        let file = memory.descriptor
        observer = try VhostUserObserver(
            name: "disk", frontEnd: front, offer: offer, descriptor: { $0 == 1 ? file : nil },
            waitsForRequests: kind == .share)
        guest = try BlockGuest(
            memory: memory, blocks: Self.blocks, file: kind == .share ? "disk" : nil)
    }

    func slot(_ page: UInt64, _ pages: UInt64, filePage: UInt64? = nil) -> Memslot {
        let filePage = filePage ?? page
        return Memslot(
            guestPhysicalAddress: GuestPhysicalAddress(page * 4_096), size: .pages(pages),
            userspaceAddress: UserspaceAddress(memory.base.rawValue + filePage * 4_096),
            memory: MemoryReference(object: 1, offset: .pages(filePage)))
    }

    /// Random slots around the guest's ring and buffers, in about `regions` regions.
    func slots(regions: Int, _ random: inout SeededRandom) -> [Memslot] {
        let end: UInt64 = BlockGuest.endPage + .random(in: 0...40, using: &random)
        var slots: [Memslot] = []
        // Split anywhere, also inside the ring.
        var page: UInt64 = 0
        while page < end {
            let count = min(.random(in: 1...end, using: &random), end - page)
            slots.append(slot(page, count))
            page += count
        }
        // What else the region of the ring has, with holes; and regions that come, go and move.
        page += .random(in: 0...1, using: &random)
        slots.append(slot(page, 200 - page))
        for index in 1..<UInt64(regions) where .random(in: 0..<4, using: &random) > 0 {
            let isMoved: Bool = .random(using: &random)
            slots.append(slot(256 * index + (isMoved ? 128 : 0), 64, filePage: 128 * index + 256))
        }
        return slots
    }
}

/// Transactions of one kind beside requests.
private struct Course: Sendable {
    var memorySlots: Bool
    var regions: Int

    func run(on kind: StorageDaemon.Kind) throws {
        let vm = try DiskVM(
            kind, wanting: memorySlots ? .handled : .handled.subtracting(.memorySlots))
        var random = SeededRandom(seed: 17)
        try vm.table.submit(vm.slots(regions: regions, &random))
        try vm.observer.attach(to: vm.table)
        try vm.observer.start(vm.guest.ring, by: .soon)
        try vm.guest.start(seed: 1)
        let transactions =
            ProcessInfo.processInfo.environment["MEMSLOTS_TRANSACTIONS"].flatMap { Int($0) } ?? 150
        var (stalls, blackouts): ([Duration], [Duration]) = ([], [])
        for _ in 0..<transactions {
            let before = vm.guest.completed
            _ = vm.guest.removeStall()
            let receipt = try vm.table.submit(
                vm.slots(regions: regions, &random),
                options: SubmitOptions(quiesceDeadline: .seconds(60)))
            blackouts.append(receipt.durations.blackout)
            // Some requests between two transactions, so that some are always in flight.
            try waitUntil("4 requests", every: 50) {
                vm.guest.completed >= before + 4 || !vm.daemon.isRunning
            }
            stalls.append(vm.guest.removeStall())
            guard vm.daemon.isRunning, vm.observer.backEndState == .attached else { break }
        }
        let counts = vm.guest.stop()
        #expect(vm.daemon.isRunning)
        #expect(vm.observer.backEndState == .attached)
        #expect(counts.wrongBlocks == 0)
        #expect(counts.failed == 0)
        #expect(counts.lost == 0)
        #expect(counts.completed > transactions)
        #expect(vm.observer.ringStops > 0)
        for block in 0..<DiskVM.blocks {
            #expect(
                try vm.daemon.block(block) == BlockGuest.contents(block, counts.versions[block]))
        }
        print(
            "\(kind), \(regions) regions, \(memorySlots ? "" : "no ")memory slots:",
            "\(transactions) transactions, \(vm.observer.ringStops) ring stops,",
            "\(counts.completed) requests, \(counts.lost) lost, \(counts.wrongBlocks) wrong; stall \(percentiles(stalls));",
            "blackout \(percentiles(blackouts))")
    }
}

/// The median, the 99th percentile and the maximum, in microseconds.
private func percentiles(_ times: [Duration]) -> String {
    let sorted = times.sorted()
    guard let last = sorted.last else { return "none" }
    let all = [sorted[sorted.count / 2], sorted[sorted.count * 99 / 100], last]
    return zip(["p50", "p99", "max"], all).map { "\($0) \(Int($1 / .microseconds(1))) µs" }
        .joined(separator: ", ")
}

@Suite(
    "virtiofsd",
    .enabled(if: StorageDaemon.Kind.share.isInstalled, "virtiofsd 7.2 is not installed"),
    .enabled(if: geteuid() == 0, "virtiofsd needs root"), .serialized)
struct ShareDaemonTests {
    @Test(
        "loses no request and no byte of a file",
        arguments: [
            Course(memorySlots: true, regions: 2), Course(memorySlots: true, regions: 20),
            Course(memorySlots: false, regions: 6),
        ])
    private func course(_ course: Course) throws { try course.run(on: .share) }
}

@Suite(
    "qemu-storage-daemon",
    .enabled(if: StorageDaemon.Kind.disk.isInstalled, "qemu-storage-daemon is not installed"),
    .serialized)
struct StorageDaemonTests {
    @Test(
        "loses no request and no byte while transactions split, merge, move, plug and unplug",
        arguments: [
            Course(memorySlots: true, regions: 2), Course(memorySlots: true, regions: 20),
            Course(memorySlots: false, regions: 6),
        ])
    private func course(_ course: Course) throws { try course.run(on: .disk) }

    @Test("records in the dirty log what it writes, and nothing else")
    func dirtyLog() throws {
        let vm = try DiskVM()
        let ram = vm.slot(0, 200)
        let receipt = try vm.table.submit([ram])
        try vm.observer.attach(to: vm.table)
        try vm.observer.start(vm.guest.ring, by: .soon)
        try vm.guest.start(seed: 1)
        // The recording begins beside running rings.
        try vm.table.submit([receipt.slots[0].logging(true)])
        let before = vm.guest.completed
        try waitUntil("500 requests", every: 50) {
            vm.guest.completed >= before + 500 || !vm.daemon.isRunning
        }
        // A cut carries what was recorded.
        let cut = try vm.table.submit(
            [vm.slot(0, 100).logging(true), vm.slot(101, 99).logging(true)],
            options: SubmitOptions(quiesceDeadline: .seconds(60)))
        let counts = vm.guest.stop()
        #expect(counts.wrongBlocks == 0 && counts.failed == 0 && counts.lost == 0)
        let low = try #require(cut.slots.first { $0.guestPhysicalAddress == 0 })
        let pages = try vm.table.dirtyLog(of: low).bitmap
        // The used ring; the status of each worker, and its data, which some requests read.
        #expect(pages.contains(BlockGuest.ringPage + 2))
        for page in BlockGuest.bufferPage..<BlockGuest.endPage { #expect(pages.contains(page)) }
        #expect(pages.count == 1 + UInt64(2 * BlockGuest.workers))
    }

    @Test("breaks where memory goes beside running rings, as VMMs do it: the control")
    func control() throws {
        let vm = try DiskVM()
        try vm.table.submit([vm.slot(0, 200)])
        try vm.observer.attach(to: vm.table)
        try vm.observer.start(vm.guest.ring, by: .soon)
        try vm.guest.start(seed: 1)
        try waitUntil("10 requests", every: 50) { vm.guest.completed >= 10 }
        // All REM, then all ADD, with the ring running.
        let region = try #require(vm.observer.regions.first)
        var (stalls, survived): ([Duration], Int) = ([], 0)
        let error = #expect(throws: VhostUserError.self) {
            for _ in 0..<1_000 {
                _ = vm.guest.removeStall()
                try vm.front.remove(region, by: .soon)
                try vm.front.add(region, descriptor: vm.memory.descriptor, by: .soon)
                try vm.front.confirm(by: .soon)
                stalls.append(vm.guest.removeStall())
                survived += 1
            }
        }
        #expect(error?.kind == "closed")
        // Where no request was in flight, it breaks and hangs up; otherwise it reads what is unmapped.
        for _ in 0..<2_000 where vm.daemon.isRunning { usleep(1_000) }
        let end = vm.daemon.isRunning ? "hung up" : "ended by signal \(vm.daemon.signal() ?? 0)"
        print(
            "control, all REM, then all ADD, rings running: the back end \(end) in exchange",
            "\(survived + 1); stall before that \(percentiles(stalls))")
    }
}
