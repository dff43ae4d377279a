import Foundation
import MemslotKVM
import MemslotTestKit
import Memslots
import Testing

extension OnKVM {
    @Suite("kick of a running vCPU")
    struct KickTests {
        /// What the vCPU's thread shares.
        private final class Outcome: Sendable {
            let exits = Locked<[(exit: VCPUExit, requests: KickRequests)]>([])
            let failure = Locked<Errno?>(nil)
            let ended = DispatchSemaphore(value: 0)
        }

        @Test(
            "a guest that never leaves by itself leaves after each kick",
            arguments: GuestKind.allCases)
        func kick(kind: GuestKind) throws {
            let guest = try GuestVM(kind)
            try guest.backend.apply(.create(guest.slot()))
            let signal = try KickSignal()
            let kick = guest.vcpu.makeKick(signal: signal)
            let outcome = Outcome()
            let turns = 50
            let vcpu = guest.vcpu
            let thread = Thread {
                do throws(Errno) {
                    try signal.acceptOnCurrentThread()
                    var reported = 0
                    while reported < turns {
                        // An EINTR without a request is legal: a signal may come late.
                        let turn = try vcpu.run(with: kick)
                        guard !turn.requests.isEmpty else { continue }
                        reported += 1
                        outcome.exits.withLock { $0.append(turn) }
                        outcome.ended.signal()
                    }
                } catch {
                    outcome.failure.withLock { $0 = error }
                    outcome.ended.signal()
                }
            }
            thread.start()
            var last: UInt32 = 0
            for turn in 0..<turns {
                // On odd turns the kick may come before, at, or after the entry.
                if turn % 2 == 0 {
                    while guest.load(guest.program.rounds) == last { sched_yield() }
                }
                kick.kick(turn % 3 == 0 ? .embedder : .gate)
                outcome.ended.wait()
                last = guest.load(guest.program.rounds)
            }
            #expect(outcome.failure.withLock { $0 } == nil)
            let exits = outcome.exits.withLock { $0 }
            #expect(exits.count == turns)
            #expect(exits.allSatisfy { $0.exit == .interrupted })
            let reported = exits.enumerated().filter { turn, exit in
                exit.requests == (turn % 3 == 0 ? .embedder : .gate)
            }
            #expect(reported.count == turns)
            #expect(guest.load(guest.program.rounds) > 0)
            #expect(guest.wrongPages == [])
        }

        @Test("a kicked vCPU completes an open MMIO read, then leaves")
        func pendingCompletion() throws {
            let guest = try GuestVM(.real)
            let kick = guest.vcpu.makeKick(signal: try KickSignal())
            // The region has no slot: the first increment reads by MMIO.
            let first = try guest.vcpu.run(with: kick)
            guard case .mmio(let read) = first.exit else {
                Issue.record("left by \(first)")
                return
            }
            #expect(!read.isWrite)
            guest.vcpu.completeMMIORead(with: 41)
            kick.kick(.gate)
            let second = try guest.vcpu.run(with: kick)
            // The completion writes 42 at once, which is another exit. The kick takes effect after it.
            guard case .mmio(let write) = second.exit else {
                Issue.record("left by \(second)")
                return
            }
            #expect(write.isWrite && write.value & 0xffff == 42)
            #expect(second.requests == .gate)
            #expect(try guest.vcpu.run(with: kick).exit == .interrupted)
        }
    }
}
