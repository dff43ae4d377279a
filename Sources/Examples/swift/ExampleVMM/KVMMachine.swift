import Dispatch
import Foundation
import MemslotKVM
import Memslots
import Synchronization

/// A VM of the kernel with one vCPU, which runs on a thread of its own.
struct KVMMachine: Machine {
    let table: MemslotTable
    private let memory: GuestMemory
    private let guest: CountingGuest
    private let vcpu: GuardedVCPU
    private let exits: ExitHandler

    init(_ layout: Layout) throws {
        let guest = CountingGuest(ram: layout.ram)
        let exits = ExitHandler(guest)
        layout.memory.write(CountingGuest.program, at: CountingGuest.code)

        let backend = try KVMBackend(system: KVMSystem())
        let gate = VCPUGate()
        let table = try MemslotTable(backend: backend, vcpus: gate)
        try table.submit(layout.atBoot)

        let signal = try KickSignal()
        let unguarded = try backend.makeVCPU(id: 0)
        try guest.start(unguarded)
        let vcpu = GuardedVCPU(unguarded, gate: gate, signal: signal)
        Thread.detachNewThread {
            do {
                try signal.acceptOnCurrentThread()
                // Waits while a transaction holds vCPUs; returns `.interrupted` when one begins.
                while true {
                    let (exit, requests) = try vcpu.run()
                    guard exits.handle(exit, requests) else { break }
                }
            } catch {
                exits.fail("the vCPU failed: \(error)")
            }
            exits.stopped.signal()
        }
        (self.table, memory, self.guest) = (table, layout.memory, guest)
        (self.vcpu, self.exits) = (vcpu, exits)
    }

    func work() throws {
        // Repeated, because the guest may have passed the limit before it was set.
        for _ in 0..<10 {
            memory[CountingGuest.limit] = memory[CountingGuest.rounds] &+ 500
            if exits.reached.wait(timeout: .now() + 1) == .success { return }
        }
        throw Tour.GuestFault(description: "the guest makes no progress")
    }

    func stop() -> String? {
        vcpu.kick()
        guard exits.stopped.wait(timeout: .now() + 10) == .success else {
            return "the vCPU does not stop"
        }
        if let fault = exits.fault { return fault }
        let wrong = guest.wrongPages(in: memory)
        return wrong.isEmpty ? nil : "increments were lost in pages \(wrong)"
    }
}

/// Handles the exits of the vCPU, as the devices of a real VMM would.
private final class ExitHandler: Sendable {
    let reached = DispatchSemaphore(value: 0)
    let stopped = DispatchSemaphore(value: 0)
    private let guest: CountingGuest
    private let firstFault = Mutex<String?>(nil)

    init(_ guest: CountingGuest) { self.guest = guest }

    /// The first exit that a guest with all of its memory would not have had.
    var fault: String? { firstFault.withLock { $0 } }

    func fail(_ fault: String) { firstFault.withLock { $0 = $0 ?? fault } }

    /// - Returns: whether the vCPU runs again.
    func handle(_ exit: VCPUExit, _ requests: KickRequests) -> Bool {
        if requests.contains(.embedder) { return false }
        if guest.hasReachedLimit(exit) {
            reached.signal()
        } else if exit != .interrupted && exit != .notReady {
            fail("the guest left with \(exit)")
            return false
        }
        return true
    }
}
