import Foundation
import MemslotKVM
import MemslotTestKit
import Memslots
import Synchronization

/// A thread that runs a guarded vCPU in a loop until it is stopped.
final class RunningVCPU: Sendable {
    let guarded: GuardedVCPU
    /// The exits other than `EINTR`; at most a thousand.
    private let seen = Locked<[VCPUExit]>([])
    private let failure = Locked<VCPURunError?>(nil)
    private let isEnding = Atomic<Bool>(false)
    private let ended = DispatchSemaphore(value: 0)

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - blocksSignals: no signal can make the thread leave the guest.
    ///   - onTurn: called after each run, on the vCPU's thread; `false` ends the thread.
    init(
        _ guarded: GuardedVCPU, signal: KickSignal, blocksSignals: Bool = false,
        onTurn: @escaping @Sendable (VCPUExit, KickRequests) -> Bool = { _, _ in true }
    ) {
        self.guarded = guarded
        Thread { [self] in
            defer { ended.signal() }
            if blocksSignals {
                var all = sigset_t()
                sigfillset(&all)
                pthread_sigmask(SIG_BLOCK, &all, nil)
            } else {
                try? signal.acceptOnCurrentThread()
            }
            while !isEnding.load(ordering: .sequentiallyConsistent) {
                do throws(VCPURunError) {
                    let (exit, requests) = try guarded.run()
                    if exit != .interrupted {
                        seen.withLock { if $0.count < 1_000 { $0.append(exit) } }
                    }
                    guard onTurn(exit, requests) else { return }
                } catch {
                    failure.withLock { $0 = error }
                    return
                }
            }
        }.start()
    }

    /// Stops the thread and waits for it.
    ///
    /// - Returns: the exits other than `EINTR`.
    func end() -> [VCPUExit] {
        isEnding.store(true, ordering: .sequentiallyConsistent)
        guarded.kick()
        return join()
    }

    /// Waits for a thread that ends by itself.
    ///
    /// - Parameter nudge: makes it end, except at some points of the guest's loop; repeated.
    func join(_ nudge: () -> Void = {}) -> [VCPUExit] {
        repeat { nudge() } while ended.wait(timeout: .now() + .milliseconds(50)) == .timedOut
        ended.signal()
        return seen.withLock { $0 }
    }

    var error: VCPURunError? { failure.withLock { $0 } }
}

extension GuestVM {
    /// The slot at address 0, which is installed already.
    var lowSlot: Memslot {
        Memslot(
            id: SlotID(0), guestPhysicalAddress: GuestPhysicalAddress(0),
            size: GuestPlacement.lowBytes, userspaceAddress: memory.base)
    }

    /// A table of the VM, with `slots` in addition to the low slot.
    func table(
        _ slots: [Memslot], vcpus: any VCPUHold = VCPUGate()
    ) throws -> MemslotTable {
        let table = try MemslotTable(backend: backend, installed: [lowSlot], vcpus: vcpus)
        try table.submit([lowSlot] + slots)
        return table
    }

    /// The region in pieces that begin at `cuts`, ids from 1.
    func pieces(_ cuts: [UInt64], flags: MemslotFlags = []) throws -> [Memslot] {
        let starts = [0] + cuts
        return [lowSlot]
            + (try starts.indices.map { index in
                let end = index + 1 < starts.count ? starts[index + 1] : pages
                return try slot(
                    id: UInt32(index + 1), first: starts[index], count: end - starts[index],
                    flags: flags)
            })
    }

    /// Another vCPU, at the start of its own program.
    func anotherVCPU(_ number: UInt32) throws -> (vcpu: VCPU, program: GuestProgram) {
        let vcpu = try backend.makeVCPU(id: number)
        let program = GuestProgram(
            kind: program.kind, placement: program.placement, vcpu: UInt64(number))
        try program.start(vcpu)
        return (vcpu, program)
    }

    /// Waits until a vCPU has completed `count` more rounds.
    func awaitRounds(of program: GuestProgram, _ count: UInt32 = 1) {
        let start = load(program.rounds)
        while load(program.rounds) &- start < count { sched_yield() }
    }
}
