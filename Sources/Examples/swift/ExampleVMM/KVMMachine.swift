import Dispatch
import Foundation
import MemslotKVM
import MemslotTestKit
import Memslots
import Synchronization

/// A VM of the kernel's with one vCPU, on a thread of its own.
struct KVMMachine: Machine {
    let table: MemslotTable
    private let vcpu: GuardedVCPU
    private let devices: Devices
    private let program: GuestProgram
    private let layout: Layout

    init(_ layout: Layout) throws {
        self.layout = layout
        let program = GuestProgram(
            kind: .real, placement: GuestPlacement(region: layout.ram.guestPhysicalAddress))
        for piece in program.image { layout.memory.write(piece.bytes, at: piece.address.rawValue) }
        let devices = Devices(program)

        // [core]
        let backend = try KVMBackend(system: KVMSystem())
        let gate = VCPUGate()
        let table = try MemslotTable(backend: backend, vcpus: gate)
        try table.submit(layout.atBoot)

        let signal = try KickSignal()
        let vcpu = GuardedVCPU(try backend.makeVCPU(id: 0), gate: gate, signal: signal)
        try program.start(vcpu.vcpu)
        Thread.detachNewThread {
            try? signal.acceptOnCurrentThread()
            // Waits while a transaction holds vCPUs out; comes out when one begins.
            while let (exit, requests) = try? vcpu.run() {
                guard devices.handle(exit, requests) else { break }
            }
            devices.stopped.signal()
        }
        // [/core]
        (self.table, self.vcpu, self.devices, self.program) = (table, vcpu, devices, program)
    }

    func work() throws {
        // Again, should the guest have passed the limit before it was told.
        for _ in 0..<10 {
            let rounds = layout.memory.load(program.rounds.rawValue)
            layout.memory.store(rounds &+ 500, program.limit.rawValue)
            if devices.reached.wait(timeout: .now() + 1) == .success { return }
        }
        throw Tour.Disturbed(what: "the guest stands still")
    }

    func stop() -> String? {
        vcpu.kick()
        guard devices.stopped.wait(timeout: .now() + 10) == .success else {
            return "the vCPU doesn't stop"
        }
        if let surprise = devices.surprise { return surprise }
        let rounds = layout.memory.load(program.rounds.rawValue)
        let ramOffset = GuestPlacement.lowBytes.rawValue
        let wrong = (0..<layout.ram.pageCount).filter { page in
            let number = layout.memory.load(ramOffset + page * pageSize.rawValue)
            return program.isWrong(number, after: rounds)
        }
        return wrong.isEmpty ? nil : "increments were lost in pages \(wrong)"
    }
}

/// What stands for devices: they hear the guest say that it has worked, and are else in the way.
private final class Devices: Sendable {
    let reached = DispatchSemaphore(value: 0)
    let stopped = DispatchSemaphore(value: 0)
    private let program: GuestProgram
    private let first = Mutex<String?>(nil)

    init(_ program: GuestProgram) { self.program = program }

    /// The first exit that a guest with all of its memory would not have had.
    var surprise: String? { first.withLock { $0 } }

    /// - Returns: whether the guest shall go on.
    func handle(_ exit: VCPUExit, _ requests: KickRequests) -> Bool {
        if requests.contains(.embedder) { return false }
        if program.hasReachedLimit(exit) {
            reached.signal()
        } else if exit != .interrupted && exit != .notReady {
            first.withLock { $0 = $0 ?? "the guest came out with \(exit)" }
            return false
        }
        return true
    }
}
