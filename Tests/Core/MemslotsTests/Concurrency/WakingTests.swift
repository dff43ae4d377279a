import Dispatch
import Testing

@testable import Memslots

/// Who waits is woken by what it waits for, and not by its deadline.
@Suite("waking")
struct WakingTests {
    /// Long enough for another thread to stop looking and begin to wait. No test depends on it: with
    /// too little of it one could not fail.
    private func passTime() {
        let end = monotonicNow() + 3_000_000
        while monotonicNow() < end {}
    }

    @Test("the last that leaves a closed gate wakes who waits for that")
    func lastLeaver() {
        let gate = EntryGate()
        let stays = [gate.enter(as: "a"), gate.enter(as: "b")]
        gate.close()
        let waiter = TestThread { #expect(gate.waitUntilEmpty(.never) == []) }
        passTime()
        for stay in stays { gate.leave(stay) }
        #expect(waiter.join())
    }

    @Test("a gate that opens lets all in that wait")
    func opening() {
        let gate = EntryGate()
        gate.close()
        let waiters = (0..<3).map { number in
            TestThread { gate.leave(gate.enter(as: "\(number)")) }
        }
        passTime()
        gate.open()
        for waiter in waiters { #expect(waiter.join()) }
    }

    @Test("everybody who waits at a monitor is woken")
    func everybody() {
        let state = Locked(false)
        let waiters = (0..<4).map { _ in
            TestThread { state.withLock(waitingWhile: { !$0 }) { _ in } }
        }
        passTime()
        state.change { $0 = true }
        for waiter in waiters { #expect(waiter.join()) }
    }

    @Test("a deadline is not before what it says")
    func deadline() {
        let before = monotonicNow()
        #expect(Deadline.after(.milliseconds(1_500)).nanoseconds >= before + 1_500_000_000)
        #expect(Deadline.after(.seconds(Int64.max)) == .never)
    }

    @Test("a hold waits for a vCPU that is inside, for a submit and for a plan beside the guest")
    func exclusively() throws {
        let gate = VCPUGate()
        let entry = gate.register(name: "cpu") {}
        let hasRun = Shared(false)
        let waiter = Shared<TestThread?>(nil)
        try entry.run {
            let thread = TestThread { gate.exclusively { hasRun.update { $0 = true } } }
            waiter.update { $0 = thread }
            passTime()
            #expect(!hasRun.value)
        }
        #expect(waiter.value?.join() == true)
        #expect(hasRun.value)
    }

    @Test("arrays are swapped when nobody is in their queue")
    func swap() throws {
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend)
        let (isInside, mayLeave) = (Signal(), Signal())
        table.pair.queue.async {
            isInside.send()
            mayLeave.wait()
        }
        isInside.wait()
        let submit = TestThread { #expect(table.refusal(of: [slot(0, at: 0)]) == nil) }
        #expect(yieldThread { !backend.calls.isEmpty })
        for _ in 0..<10 { passTime() }
        #expect(table.history().isEmpty)
        #expect(table.pair.current.generation == Generation(0))
        mayLeave.send()
        #expect(submit.join())
        #expect(table.snapshot().generation == Generation(1))
    }

    /// A hold that does something while it is waited for, and then says who stays.
    private final class BusyHold: VCPUHold {
        let work = Shared<@Sendable () -> Void>({})
        let staying: [String]
        let isExclusive = Shared(false)
        init(staying: [String] = []) { self.staying = staying }
        func beginHolding() {}
        func endHolding() {}
        func exclusively(_ body: () -> Void) {
            isExclusive.update { $0 = true }
            body()
            isExclusive.update { $0 = false }
        }
        func waitUntilHeld(by deadline: Deadline) -> [String] {
            work.value()
            return staying
        }
    }

    @Test("a timeout does not name readers that came while vCPUs were waited for")
    func latecomers() throws {
        let hold = BusyHold(staying: ["cpu"])
        let table = try MemslotTable(backend: ModelBackend(), vcpus: hold)
        let (isInside, mayLeave) = (Signal(), Signal())
        let reader = Shared<TestThread?>(nil)
        hold.work.update {
            $0 = {
                let thread = TestThread {
                    table.read(as: "late") { _ in
                        isInside.send()
                        mayLeave.wait()
                    }
                }
                reader.update { $0 = thread }
                isInside.wait()
            }
        }
        let refusal = table.refusal(
            of: [slot(0, at: 0)], options: SubmitOptions(quiesce: .always))
        #expect(refusal == .quiesceTimeout(vcpus: ["cpu"], readers: []))
        mayLeave.send()
        #expect(reader.value?.join() == true)
        hold.work.update { $0 = {} }
    }

    @Test("an undo of additions that were made beside the guest is made while vCPUs are out")
    func undoIsHeld() throws {
        let hold = BusyHold()
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend, vcpus: hold)
        let held = Shared<[Bool]>([])
        backend.state.withLock {
            $0.beforeCall = { _ in
                let isExclusive = hold.isExclusive.value
                held.update { $0.append(isExclusive) }
            }
        }
        backend.refuse(at: 1)
        #expect(table.refusal(of: [slot(0, at: 0), slot(1, at: 1)]) != nil)
        #expect(held.value == [false, false, true])
        #expect(backend.slots.isEmpty)
    }

    @Test("readers come in while an undo waits for vCPUs")
    func readersDuringHold() throws {
        final class Reading: VCPUHold {
            let table = Shared<MemslotTable?>(nil)
            let couldRead = Shared(false)
            func beginHolding() {}
            func endHolding() {}
            func exclusively(_ body: () -> Void) { body() }
            func waitUntilHeld(by deadline: Deadline) -> [String] {
                let (table, couldRead) = (table.value, couldRead)
                let hasRead = Signal()
                _ = TestThread {
                    _ = table?.snapshot()
                    couldRead.update { $0 = true }
                    hasRead.send()
                }
                hasRead.wait()
                return []
            }
        }
        let hold = Reading()
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend, vcpus: hold)
        hold.table.update { $0 = table }
        // Only additions: vCPUs are held when the second is refused.
        backend.refuse(at: 1)
        #expect(table.refusal(of: [slot(0, at: 0), slot(1, at: 1)]) != nil)
        #expect(hold.couldRead.value)
        hold.table.update { $0 = nil }
    }
}
