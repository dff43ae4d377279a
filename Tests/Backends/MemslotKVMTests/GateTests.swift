import Foundation
import MemslotKVM
import MemslotTestKit
import Memslots
import Testing

extension OnKVM {
    @Suite("vCPU gate")
    struct GateTests {
        private let signal: KickSignal

        init() throws { self.signal = try KickSignal() }

        @Test(
            "a running guest never observes a hole while its region is split and merged",
            arguments: GuestKind.allCases, [false, true])
        func splits(kind: GuestKind, codeInRegion: Bool) throws {
            let guest = try GuestVM(kind, codeInRegion: codeInRegion)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot()], vcpus: gate)
            let vcpu = RunningVCPU(
                GuardedVCPU(guest.vcpu, gate: gate, signal: signal), signal: signal)
            for turn in 0..<100 as Range<UInt64> {
                guest.awaitRounds(of: guest.program)
                let cuts = turn % 2 == 0 ? [1 + turn % 15] : []
                let receipt = try table.submit(guest.pieces(cuts))
                #expect(receipt.quiesced && receipt.durations.nanoseconds.blackout > 0)
            }
            #expect(vcpu.end() == [])
            #expect(vcpu.error == nil)
            #expect(guest.wrongPages == [])
        }

        @Test("a vCPU's thread may submit while another vCPU runs")
        func submitsItself() throws {
            let guest = try GuestVM(.real)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot(count: 8)], vcpus: gate)
            let (other, otherProgram) = try guest.anotherVCPU(1)
            // Each vCPU accesses the hole, and fills it with its own slots.
            let arrays = [try guest.pieces([8]), try guest.pieces([3, 8])]
            let refusals = Locked<[SubmitError]>([])
            let vcpus = [guest.vcpu, other].enumerated().map { index, vcpu in
                RunningVCPU(GuardedVCPU(vcpu, gate: gate, signal: signal), signal: signal) {
                    exit, _ in
                    guard case .mmio(let access) = exit else { return true }
                    if !access.isWrite { vcpu.completeMMIORead(with: 0) }
                    do throws(SubmitError) { try table.submit(arrays[index]) } catch {
                        refusals.withLock { $0.append(error) }
                    }
                    return true
                }
            }
            for program in [guest.program, otherProgram] { guest.awaitRounds(of: program, 3) }
            let exits = vcpus.flatMap { $0.end() }
            #expect(!exits.isEmpty)
            #expect(refusals.withLock { $0 } == [])
            #expect(table.snapshot().array.count >= 3)
        }

        @Test("a vCPU that does not leave is named, and nothing is applied")
        func deadline() throws {
            let guest = try GuestVM(.long)
            let gate = VCPUGate()
            let before = try guest.pieces([])
            let table = try guest.table([guest.slot()], vcpus: gate)
            let deaf = RunningVCPU(
                GuardedVCPU(guest.vcpu, gate: gate, signal: signal, name: "deaf"),
                signal: signal, blocksSignals: true
            ) { exit, _ in
                if case .mmio = exit { return false }
                return true
            }
            guest.awaitRounds(of: guest.program)
            let submitted = try guest.pieces([5])
            #expect(throws: SubmitError.quiesceTimeout(vcpus: ["deaf"], readers: [])) {
                try table.submit(
                    submitted, options: SubmitOptions(quiesceDeadline: .milliseconds(20)))
            }
            #expect(table.snapshot().array.slots == before)
            _ = try KVMBackend(adopting: guest.backend.vm, installed: before)
            // The gate is open again: the guest continues, and another vCPU may enter.
            guest.awaitRounds(of: guest.program)
            #expect(try gate.runGuarded(as: "visitor") { true })
            // It leaves by itself; an addition holds no vCPU.
            let exits = deaf.join {
                guest.memory.store(
                    guest.load(guest.program.rounds) &+ 10_000,
                    guest.offset(of: guest.program.limit))
            }
            #expect(exits.count == 1)
            try table.submit(submitted)
            #expect(guest.wrongPages == [])
        }

        @Test("the VMM's own kick is reported, however many transactions come between")
        func ownKicks() throws {
            let guest = try GuestVM(.real)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot()], vcpus: gate)
            let reported = DispatchSemaphore(value: 0)
            let guarded = GuardedVCPU(guest.vcpu, gate: gate, signal: signal)
            let vcpu = RunningVCPU(guarded, signal: signal) { _, requests in
                if requests.contains(.embedder) { reported.signal() }
                return true
            }
            let kicker = Thread {
                for _ in 0..<200 {
                    guarded.kick()
                    reported.wait()
                }
                reported.signal()
            }
            kicker.start()
            for turn in 0..<200 as Range<UInt64> {
                try table.submit(guest.pieces(turn % 2 == 0 ? [4] : []))
            }
            while !kicker.isFinished { sched_yield() }
            #expect(vcpu.end() == [])
            #expect(guest.wrongPages == [])
        }

        @Test("a transaction waits for other calls inside the gate")
        func otherCalls() throws {
            let guest = try GuestVM(.real)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot()], vcpus: gate)
            let guarded = GuardedVCPU(guest.vcpu, gate: gate, signal: signal)
            let (inside, go) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            let caller = Thread {
                try? guarded.runGuarded {
                    inside.signal()
                    go.wait()
                }
            }
            caller.start()
            inside.wait()
            let submitted = try guest.pieces([4])
            #expect(throws: SubmitError.quiesceTimeout(vcpus: ["0"], readers: [])) {
                try table.submit(
                    submitted, options: SubmitOptions(quiesceDeadline: .milliseconds(10)))
            }
            go.signal()
            try table.submit(submitted)
            // The next run reports the kick that came meanwhile.
            let turn = try guarded.run()
            #expect(turn.exit == .interrupted && turn.requests == .gate)
            let table2 = table
            let nested = try guarded.runGuarded { table2.refusal(of: submitted) }
            #expect(nested?.kind == "reentrant")
        }
    }
}

extension MemslotTable {
    /// Returns why a submit is refused, or `nil`.
    func refusal(of slots: [Memslot]) -> SubmitError? {
        do throws(SubmitError) {
            try submit(slots)
            return nil
        } catch {
            return error
        }
    }
}
