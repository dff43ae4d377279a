import MemslotLab
import MemslotService
import MemslotSimulator
import Memslots
import Testing

/// Breaks each part of the machine in turn. The simulation must detect it.
@Suite("the simulation detects broken parts")
struct BrokenPartTests {
    private func expect(
        _ invariants: Set<Breach.Invariant>, without: Set<Disturbance> = [],
        _ wiring: Wiring, _ location: SourceLocation = #_sourceLocation
    ) throws {
        let report = try firstFailure(of: 1...60, without: without, wiring)
        let found = try #require(report?.breach?.invariant, sourceLocation: location)
        #expect(invariants.contains(found), sourceLocation: location)
    }

    @Test(
        "a backend",
        arguments: [
            (.losesDirtyBits, [.dirtyBitsKept]), (.inventsDirtyBits, [.dirtyBitsKept]),
            (.skipsDeletions, [.installedIsActive, .planIsLegal, .readerSeesWhole]),
            (.skipsReflags, [.installedIsActive, .planIsLegal, .readerSeesWhole]),
            (.misplacesMoves, [.installedIsActive, .planIsLegal, .readerSeesWhole]),
            (.skipsSharing, [.installedIsActive, .guestSeesWhole, .readerSeesWhole]),
        ] as [(BrokenBackend.Fault, Set<Breach.Invariant>)])
    func backend(fault: BrokenBackend.Fault, invariants: Set<Breach.Invariant>) throws {
        var wiring = Wiring()
        wiring.backend = { BrokenBackend($0, fault) }
        try expect(invariants, wiring)
    }

    // Without reentry: such a hold does not know the threads inside its gate.
    @Test(
        "a hold",
        arguments: [
            (.doesNotWait, [.barrierFree]), (.doesNotHold, [.vcpusHeld]),
            (.opensEarly, [.vcpusHeld, .guestSeesWhole]), (.staysClosed, [.progress]),
            (.namesNobody, [.oneAnswer]),
        ] as [(BrokenHold.Fault, Set<Breach.Invariant>)])
    func hold(fault: BrokenHold.Fault, invariants: Set<Breach.Invariant>) throws {
        var wiring = Wiring()
        wiring.hold = { BrokenHold($0, fault) }
        try expect(invariants, without: [.reentry], wiring)
    }

    @Test(
        "the calls of a hook",
        arguments: [.noFinish, .noAbort, .commitTwice, .finishForAbort] as [BrokenHook.Fault])
    func hook(fault: BrokenHook.Fault) throws {
        var wiring = Wiring()
        wiring.hook = { BrokenHook($0, fault) }
        try expect([.hooksPaired], wiring)
    }

    @Test("what a back end is sent", arguments: BrokenObserver.Fault.allCases)
    private func observer(fault: BrokenObserver.Fault) throws {
        var wiring = Wiring()
        wiring.observer = { BrokenObserver($0, fault) }
        try expect([.backEndFollows], wiring)
    }

    @Test("a reader that uses its snapshot after it has left")
    func reader() throws {
        var wiring = Wiring()
        wiring.read = { table, _, body in body(table.snapshot()) }
        // Without reentry: outside of the table it may submit.
        try expect([.readerSeesWhole], without: [.reentry], wiring)
    }

    @Test("the delivery of events: one is lost, one is repeated, the order is reversed")
    func delivery() throws {
        var wiring = Wiring()
        wiring.delivery = { Array($0.dropLast()) }
        try expect([.eventsInOrder], wiring)
        wiring.delivery = { $0 + $0.suffix(1) }
        try expect([.eventsInOrder], wiring)
        wiring.delivery = { $0.reversed() }
        try expect([.eventsInOrder], wiring)
    }

    @Test("the service's limits: a user may have one more VM, or all of the slots")
    func limits() throws {
        var wiring = Wiring()
        wiring.limits = { limits in
            var limits = limits
            limits.vmsPerPeer += 1
            return limits
        }
        try expect([.limitsHold], wiring)
        wiring.limits = { limits in
            var limits = limits
            limits.slotsPerPeer = limits.slots
            return limits
        }
        try expect([.limitsHold], wiring)
    }

    @Test("a receipt: dirty pages are missing, a generation is skipped, quiescence is wrong")
    func receipt() throws {
        var wiring = Wiring()
        wiring.receipt = { receipt in
            var receipt = receipt
            receipt.unmappedDirtyPages = []
            return receipt
        }
        try expect([.dirtyBitsKept], wiring)
        wiring.receipt = { receipt in
            var receipt = receipt
            receipt.generation = receipt.generation.next
            return receipt
        }
        try expect([.generationsDense], wiring)
        wiring.receipt = { receipt in
            var receipt = receipt
            receipt.quiesced = true
            return receipt
        }
        try expect([.vcpusHeld], wiring)
    }
}
