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
        #expect(Deadline.after(milliseconds: 1_500).nanoseconds >= before + 1_500_000_000)
        #expect(Deadline.after(milliseconds: .max) == .never)
    }

    @Test("what holds vCPUs out waits for one that is inside, whoever asks for it")
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

    @Test("readers come in while an undo waits for vCPUs")
    func readersDuringHold() throws {
        final class Reading: VCPUHold {
            let table = Shared<MemslotTable?>(nil)
            let couldRead = Shared(false)
            func begin() {}
            func end() {}
            func exclusively(_ body: () -> Void) { body() }
            func waitUntilHeld(_ deadline: Deadline) -> [String] {
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
