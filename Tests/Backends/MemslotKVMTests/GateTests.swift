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
            "a region split and merged under a running guest is always whole for it",
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
            // Each meets the hole, and fills it itself, in pieces of its own.
            let arrays = [try guest.pieces([8]), try guest.pieces([3, 8])]
            let refusals = Locked<[SubmitError]>([])
            let vcpus = [guest.vcpu, other].enumerated().map { index, vcpu in
                RunningVCPU(GuardedVCPU(vcpu, gate: gate, signal: signal), signal: signal) {
                    exit, _ in
                    guard case .mmio(let access) = exit else { return true }
                    if !access.isWrite { vcpu.answerMMIO(0) }
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

        @Test("a vCPU that can't be brought out is named, and nothing has been applied")
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
            _ = try KVMBackend(takingOver: guest.backend.vm, installed: before)
            // The gate is open again: the guest goes on, and another may enter.
            guest.awaitRounds(of: guest.program)
            #expect(try gate.guarded(as: "visitor") { true })
            // It leaves by itself; an addition needs nobody out.
            let exits = deaf.join {
                guest.memory.store(
                    guest.load(guest.program.rounds) &+ 10_000,
                    guest.offset(of: guest.program.limit))
            }
            #expect(exits.count == 1)
            try table.submit(submitted)
            #expect(guest.wrongPages == [])
        }

        @Test("the VMM's own kick is told, however many transactions come between")
        func ownKicks() throws {
            let guest = try GuestVM(.real)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot()], vcpus: gate)
            let told = DispatchSemaphore(value: 0)
            let guarded = GuardedVCPU(guest.vcpu, gate: gate, signal: signal)
            let vcpu = RunningVCPU(guarded, signal: signal) { _, requests in
                if requests.contains(.embedder) { told.signal() }
                return true
            }
            let kicker = Thread {
                for _ in 0..<200 {
                    guarded.kick()
                    told.wait()
                }
                told.signal()
            }
            kicker.start()
            for turn in 0..<200 as Range<UInt64> {
                try table.submit(guest.pieces(turn % 2 == 0 ? [4] : []))
            }
            while !kicker.isFinished { sched_yield() }
            #expect(vcpu.end() == [])
            #expect(guest.wrongPages == [])
        }

        @Test("what runs inside the gate beside vCPUs holds a transaction up")
        func otherCalls() throws {
            let guest = try GuestVM(.real)
            let gate = VCPUGate()
            let table = try guest.table([guest.slot()], vcpus: gate)
            let guarded = GuardedVCPU(guest.vcpu, gate: gate, signal: signal)
            let (inside, go) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            let caller = Thread {
                try? guarded.guarded {
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
            // The kick that came meanwhile is not lost on the next run.
            let turn = try guarded.run()
            #expect(turn.exit == .interrupted && turn.requests == .gate)
            let table2 = table
            let nested = try guarded.guarded { table2.refusal(of: submitted) }
            #expect(nested?.kind == "reentrant")
        }
    }
}

extension MemslotTable {
    /// Why a submit is refused; `nil` where it isn't.
    func refusal(of slots: [Memslot]) -> SubmitError? {
        do throws(SubmitError) {
            try submit(slots)
            return nil
        } catch {
            return error
        }
    }
}
