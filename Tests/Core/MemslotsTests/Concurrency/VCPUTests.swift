import Glibc
import Testing

@testable import Memslots

/// A vCPU on a thread of its own: enters the guest again and again until it is stopped.
private final class VCPU: Sendable {
    let thread: TestThread
    let isStopped = Shared(false)
    let entries = Shared(0)

    /// - Parameter guest: what it does inside, with a question for whether it was kicked.
    init(
        _ name: String, _ gate: VCPUGate, guest: @escaping @Sendable (() -> Bool) -> Void
    ) {
        let isKicked = Shared(false)
        let entry = gate.register(name: name, kick: { isKicked.update { $0 = true } })
        thread = TestThread { [isStopped, entries] in
            while !isStopped.value {
                isKicked.update { $0 = false }
                do throws(ReentryError) {
                    try entry.run { guest { isKicked.value || isStopped.value } }
                } catch {
                    Issue.record("\(error)")
                }
                entries.update { $0 += 1 }
            }
        }
    }

    func stop() -> Bool {
        isStopped.update { $0 = true }
        return thread.join()
    }
}

@Suite("vCPUs", .serialized)
struct VCPUTests {
    private let patient = SubmitOptions(quiesceDeadline: .milliseconds(60_000))

    private func array(_ number: UInt64) -> [Memslot] {
        (0..<4).map { slot(UInt32($0), at: $0 * 4 + number % 4, host: $0) }
    }

    @Test("that are inside are waited for by the barrier itself, not by the closed gate alone")
    func barrier() throws {
        let gate = VCPUGate()
        let entry = gate.register(name: "inside", kick: {})
        let (isInside, mayLeave) = (Signal(), Signal())
        let (hasLeft, wasAlone) = (Shared(false), Shared<Bool?>(nil))
        let vcpu = TestThread {
            try? entry.run {
                isInside.send()
                mayLeave.wait()
                hasLeft.update { $0 = true }
            }
        }
        #expect(isInside.wait())
        let other = TestThread {
            gate.exclusively { wasAlone.update { $0 = hasLeft.value } }
        }
        // Time for a barrier that waits for nobody.
        for _ in 0..<200 where wasAlone.value == nil { usleep(1_000) }
        mayLeave.send()
        #expect(vcpu.join() && other.join())
        #expect(wasAlone.value == true)
    }

    @Test("never run while the slots are half changed, also those that come and go")
    func neverBetween() throws {
        let backend = ModelBackend(array(0))
        let table = try MemslotTable(backend: backend, installed: array(0))
        let gate = try #require(table.vcpuGate)
        let faults = Shared(0)
        // Looks at the backend, as a guest does, and not at the table.
        let guest: @Sendable (() -> Bool) -> Void = { isKicked in
            repeat {
                let pages = backend.slots.map { $0.guestPhysicalAddress.pageNumber % 4 }
                if Set(pages).count != 1 || pages.count != 4 { faults.update { $0 += 1 } }
            } while !isKicked()
        }
        let lasting = (0..<3).map { VCPU("vcpu \($0)", gate, guest: guest) }
        for number in 1...60 {
            let passing = VCPU("passing \(number)", gate, guest: guest)
            #expect(table.refusal(of: array(UInt64(number)), options: patient) == nil)
            #expect(passing.stop())
        }
        #expect(lasting.allSatisfy { $0.stop() && $0.entries.value > 0 })
        #expect(faults.value == 0)
        #expect(backend.illegal.isEmpty)
    }

    @Test("one that never leaves is named, nothing is applied, and the gate is open again")
    func staysInside() throws {
        let backend = ModelBackend(array(0))
        let table = try MemslotTable(backend: backend, installed: array(0))
        let gate = try #require(table.vcpuGate)
        let (isInside, mayLeave, wasKicked) = (Signal(), Signal(), Signal())
        let deaf = gate.register(name: "deaf", kick: { wasKicked.send() })
        let thread = TestThread {
            try? deaf.run {
                isInside.send()
                mayLeave.wait()
            }
        }
        isInside.wait()
        let hasty = SubmitOptions(quiesceDeadline: .milliseconds(5))
        #expect(
            table.refusal(of: array(1), options: hasty)
                == .quiesceTimeout(vcpus: ["deaf"], readers: []))
        #expect(wasKicked.wait())
        #expect(backend.calls.isEmpty)
        // Another may enter though the first is still there, and a plan that needs no hold commits.
        let other = gate.register(name: "other", kick: {})
        #expect(try other.run { true })
        #expect(table.refusal(of: array(0) + [slot(9, at: 40)], options: hasty) == nil)
        mayLeave.send()
        #expect(thread.join())
        #expect(table.refusal(of: array(1)) == nil)
    }

    @Test("one whose entry is gone is kicked no more, and what its kick holds is let go")
    func gone() throws {
        let table = try MemslotTable(backend: ModelBackend(array(0)), installed: array(0))
        let gate = try #require(table.vcpuGate)
        let (first, second) = (Shared(0), Shared(0))
        let staying = gate.register(name: "stays", kick: { first.update { $0 += 1 } })
        do {
            let leaving = gate.register(name: "goes", kick: { second.update { $0 += 1 } })
            #expect(table.refusal(of: array(1)) == nil)
            _ = consume leaving
        }
        #expect(table.refusal(of: array(2)) == nil)
        #expect(staying.name == "stays")
        #expect(first.value == 2)
        #expect(second.value == 1)
    }

    @Test("a vCPU and a reader that both stay are both named")
    func bothStay() throws {
        let table = try MemslotTable(backend: ModelBackend(array(0)), installed: array(0))
        let gate = try #require(table.vcpuGate)
        let (vcpuIsInside, readerIsInside, mayLeave) = (Signal(), Signal(), Signal())
        let deaf = gate.register(name: "deaf", kick: {})
        let vcpu = TestThread {
            try? deaf.run {
                vcpuIsInside.send()
                mayLeave.wait()
            }
        }
        let reader = TestThread {
            table.read(as: "stuck") { _ in
                readerIsInside.send()
                mayLeave.wait()
            }
        }
        vcpuIsInside.wait()
        readerIsInside.wait()
        #expect(
            table.refusal(of: [], options: SubmitOptions(quiesceDeadline: .milliseconds(5)))
                == .quiesceTimeout(vcpus: ["deaf"], readers: ["stuck"]))
        mayLeave.send()
        #expect(vcpu.join() && reader.join())
    }

    @Test("one that is inside may read while it is asked to leave")
    func readsDuringDrain() throws {
        let table = try MemslotTable(backend: ModelBackend(array(0)), installed: array(0))
        let gate = try #require(table.vcpuGate)
        let (isInside, wasKicked) = (Signal(), Signal())
        let entry = gate.register(name: "reads", kick: { wasKicked.send() })
        let thread = TestThread {
            try? entry.run {
                isInside.send()
                wasKicked.wait()
                #expect(table.read { $0.generation } == Generation(0))
            }
        }
        isInside.wait()
        #expect(table.refusal(of: array(1), options: patient) == nil)
        #expect(thread.join())
    }

    @Test("vCPUs that read all the time never keep a commit from its turn")
    func readAllTheTime() throws {
        let table = try MemslotTable(backend: ModelBackend(array(0)), installed: array(0))
        let gate = try #require(table.vcpuGate)
        let vcpus = (0..<4).map { number in
            VCPU("vcpu \(number)", gate) { isKicked in
                repeat { _ = table.snapshot() } while !isKicked()
            }
        }
        // Additions alone, beside the guest.
        for number in 1...100 {
            let added = array(0) + [slot(8, at: 100, host: UInt64(number), flags: .readOnly)]
            let options = SubmitOptions(quiesceDeadline: .milliseconds(10_000))
            #expect(table.refusal(of: added, options: options) == nil)
            #expect(table.refusal(of: array(0), options: options) == nil)
        }
        #expect(vcpus.allSatisfy { $0.stop() })
    }

    @Test("are held out before the first undo of a plan beside them, though one waits to read")
    func heldForUndo() throws {
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend)
        let gate = try #require(table.vcpuGate)
        let (isInside, mayRead, isReading) = (Signal(), Signal(), Signal())
        let entry = gate.register(name: "reads", kick: {})
        let hasLeft = Shared(false)
        let thread = TestThread {
            try? entry.run {
                isInside.send()
                mayRead.wait()
                isReading.send()
                _ = table.snapshot()
                hasLeft.update { $0 = true }
            }
        }
        isInside.wait()
        let heldAtUndo = Shared(false)
        backend.state.withLock { state in
            state.refusals = [1: .outOfMemory]
            state.beforeCall = { index in
                if index == 0 {
                    mayRead.send()
                    isReading.wait()
                }
                if index == 2 { heldAtUndo.update { $0 = hasLeft.value } }
            }
        }
        let refusal = table.refusal(of: [slot(0, at: 0), slot(1, at: 1)], options: patient)
        #expect(refusal?.kind == "rolled-back")
        #expect(heldAtUndo.value)
        #expect(thread.join())
    }

    /// A VMM's own pause: knows nothing of the table's threads.
    private final class OwnHold: VCPUHold {
        let asked = Signal()
        let hasLeft = Signal()
        let log = Shared<[String]>([])

        func beginHolding() {
            log.update { $0.append("begin") }
            asked.send()
        }
        func waitUntilHeld(by deadline: Deadline) -> [String] {
            hasLeft.wait() ? [] : ["own"]
        }
        func exclusively(_ body: () -> Void) {
            log.update { $0.append("exclusively") }
            body()
        }
        func endHolding() { log.update { $0.append("end") } }
    }

    @Test("those that a VMM pauses in its own way may read until they are held")
    func ownHold() throws {
        let hold = OwnHold()
        let table = try MemslotTable(
            backend: ModelBackend(array(0)), installed: array(0), vcpus: hold)
        let vcpu = TestThread {
            hold.asked.wait()
            #expect(table.read { $0.generation } == Generation(0))
            hold.hasLeft.send()
        }
        #expect(table.refusal(of: array(1)) == nil)
        #expect(vcpu.join())
        #expect(hold.log.value == ["begin", "exclusively", "end"])
    }

    @Test("stay out of a failed VM, until it is recovered or they are let go")
    func failed() throws {
        for recovers in [true, false] {
            let backend = ModelBackend(array(0))
            let table = try MemslotTable(backend: backend, installed: array(0))
            let gate = try #require(table.vcpuGate)
            backend.refuse(at: 1, 2, with: .ioError)
            #expect(table.refusal(of: [])?.kind == "vm-failed")
            let entered = Shared(false)
            let entry = gate.register(name: "v", kick: {})
            let vcpu = TestThread { try? entry.run { entered.update { $0 = true } } }
            // Reading works, also now.
            #expect(table.snapshot().array.slots == array(0))
            #expect(!entered.value)
            backend.refuse()
            if recovers { try table.recover() } else { table.releaseVCPUs() }
            #expect(vcpu.join())
            #expect((table.failure == nil) == recovers)
        }
    }

    @Test("let go of a failed VM are let go once, and held again to recover it")
    func letGo() throws {
        let hold = OwnHold()
        hold.hasLeft.send()
        let backend = ModelBackend(array(0))
        let table = try MemslotTable(backend: backend, installed: array(0), vcpus: hold)
        table.releaseVCPUs()
        backend.refuse(at: 1, 2, with: .ioError)
        #expect(table.refusal(of: [])?.kind == "vm-failed")
        #expect(hold.log.value == ["begin", "exclusively"])
        table.releaseVCPUs()
        table.releaseVCPUs()
        #expect(hold.log.value == ["begin", "exclusively", "end"])
        backend.refuse()
        try table.recover()
        table.releaseVCPUs()
        #expect(
            hold.log.value == ["begin", "exclusively", "end", "begin", "exclusively", "end"])
    }
}
