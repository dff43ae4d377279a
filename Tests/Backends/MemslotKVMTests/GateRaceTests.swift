import CKVM
import Foundation
import MemslotKVM
import MemslotTestKit
import Memslots
import Synchronization
import Testing

extension OnKVM {
    @Suite("vCPU gate, races")
    struct GateRaceTests {
        private let signal: KickSignal

        init() throws { self.signal = try KickSignal() }

        @Test("vCPUs register and leave while transactions drain")
        func comingAndGoing() throws {
            let guest = try GuestVM(.real)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot()], vcpus: gate)
            let (other, _) = try guest.anotherVCPU(1)
            let isEnding = Atomic<Bool>(false)
            let unexpected = Locked<[String]>([])
            let done = DispatchSemaphore(value: 0)
            for vcpu in [guest.vcpu, other] {
                Thread { [signal] in
                    try? signal.acceptOnCurrentThread()
                    while !isEnding.load(ordering: .relaxed) {
                        // A vCPU of the VMM's: after `retire` its page must not be accessed.
                        let guarded = GuardedVCPU(
                            VCPU(
                                adopting: vcpu.descriptor, sharedPage: vcpu.sharedPage,
                                id: vcpu.id),
                            gate: gate, signal: signal)
                        let killer = Thread { guarded.kick() }
                        killer.start()
                        while true {
                            guard let turn = try? guarded.run() else {
                                unexpected.withLock { $0.append("failed") }
                                break
                            }
                            if turn.exit != .interrupted {
                                unexpected.withLock { $0.append("\(turn.exit)") }
                            }
                            if turn.requests.contains(.embedder) { break }
                        }
                        guarded.releaseSharedPage()
                    }
                    done.signal()
                }.start()
            }
            for turn in 0..<300 as Range<UInt64> {
                try table.submit(guest.pieces(turn % 2 == 0 ? [4, 9] : []))
            }
            isEnding.store(true, ordering: .relaxed)
            for _ in 0..<2 { done.wait() }
            #expect(unexpected.withLock { $0 } == [])
            #expect(guest.wrongPages == [])
        }

        @Test("an MMIO read is completed with the table of the time of completion")
        func pendingCompletion() throws {
            let guest = try GuestVM(.real)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot(count: 8)], vcpus: gate)
            let guarded = GuardedVCPU(guest.vcpu, gate: gate, signal: signal)
            let first = try guarded.run()
            guard case .mmio(let read) = first.exit, !read.isWrite else {
                Issue.record("left by \(first)")
                return
            }
            #expect(read.address == guest.program.number(in: 8))
            guest.vcpu.completeMMIORead(with: 41)
            // Between the read and the write of one instruction its page is mapped, and others are not.
            try table.submit(guest.pieces([3, 8]))
            guarded.kick()
            let second = try guarded.run()
            #expect(second.exit == .interrupted)
            #expect(second.requests.contains(.embedder))
            #expect(guest.load(guest.program.number(in: 8)) == 42)
            #expect(guest.load(guest.program.rounds) == 0)
        }

        @Test("a vCPU that waits to be started is held like any other")
        func waitingProcessor() throws {
            let backend = try KVMBackend(system: KVMSystem())
            guard ckvm_create_irqchip(backend.vm.descriptor) == 0 else {
                try Test.cancel("no interrupt controller in this kernel")
            }
            _ = try backend.makeVCPU(id: 0)
            let gate = VCPUGate()
            let table = try MemslotTable(backend: backend, vcpus: gate)
            let guarded = GuardedVCPU(try backend.makeVCPU(id: 1), gate: gate, signal: signal)
            let turns = Atomic<Int>(0)
            let waiting = RunningVCPU(guarded, signal: signal) { _, _ in
                turns.add(1, ordering: .relaxed)
                return true
            }
            let memory = try GuestMemory(size: .pages(2))
            let slot = Memslot(
                id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0), size: .pages(2),
                userspaceAddress: memory.base)
            var half = slot
            half.size = .pages(1)
            for turn in 0..<50 {
                try table.submit(turn % 2 == 0 ? [slot] : [half])
            }
            let exits = waiting.end()
            #expect(exits.allSatisfy { $0 == .notReady }, "\(exits.prefix(3))")
            #expect(waiting.error == nil)
        }

        @Test("a VMM with its own way to pause holds its vCPUs by it")
        func ownPause() throws {
            let guest = try GuestVM(.long)
            let pause = OwnPause(guest.vcpu.makeKick(signal: signal))
            let table = try guest.table([guest.slot()], vcpus: pause)
            #expect(table.vcpuGate == nil)
            let vcpu = guest.vcpu
            let unexpected = Locked<[VCPUExit]>([])
            let done = DispatchSemaphore(value: 0)
            Thread { [signal] in
                try? signal.acceptOnCurrentThread()
                while pause.mayRun() {
                    let turn = try? vcpu.run(with: pause.kick)
                    if let turn, turn.exit != .interrupted {
                        unexpected.withLock { $0.append(turn.exit) }
                    }
                }
                done.signal()
            }.start()
            for turn in 0..<100 as Range<UInt64> {
                guest.awaitRounds(of: guest.program)
                try table.submit(guest.pieces(turn % 2 == 0 ? [4] : []))
            }
            pause.shutDown()
            done.wait()
            #expect(unexpected.withLock { $0 } == [])
            #expect(guest.wrongPages == [])
            #expect(pause.timesHeld == 100)
        }
    }
}

/// How a VMM with one vCPU may pause it: a flag, a condition and a kick.
private final class OwnPause: VCPUHold, @unchecked Sendable {
    // All but `kick` is guarded by `condition`.
    let kick: VCPUKick
    private let condition = NSCondition()
    private var isPaused = false
    private var isParked = false
    private var isOver = false
    private var held = 0

    init(_ kick: VCPUKick) { self.kick = kick }

    var timesHeld: Int { condition.withLock { held } }

    /// The vCPU's thread calls it before each run.
    func mayRun() -> Bool {
        condition.withLock {
            while isPaused {
                isParked = true
                condition.broadcast()
                condition.wait()
            }
            isParked = false
            return !isOver
        }
    }

    func shutDown() {
        condition.withLock { isOver = true }
        kick.kick(.embedder)
    }

    func beginHolding() {
        condition.withLock { isPaused = true }
        kick.kick(.embedder)
    }

    func waitUntilHeld(by deadline: Deadline) -> [String] {
        condition.withLock {
            while !isParked { condition.wait() }
            held += 1
        }
        return []
    }

    func exclusively(_ body: () -> Void) { body() }

    func endHolding() {
        condition.withLock {
            isPaused = false
            condition.broadcast()
        }
    }
}
