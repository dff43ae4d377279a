import Dispatch
import Testing

@testable import Memslots

@Suite("an exhausted Dispatch pool", .serialized)
struct ExhaustedPoolTests {
    /// Blocks every thread that the global queues will give, while `body` runs.
    private func withBlockedPool(_ body: () -> Void) {
        let (mayEnd, group) = (DispatchSemaphore(value: 0), DispatchGroup())
        let blocked = 600
        for _ in 0..<blocked { DispatchQueue.global().async(group: group) { mayEnd.wait() } }
        body()
        for _ in 0..<blocked { mayEnd.signal() }
        group.wait()
    }

    @Test("holds up neither submits, nor readers, nor vCPUs")
    func submits() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let gate = try #require(table.vcpuGate)
        let entry = gate.register(name: "v", kick: {})
        let isDone = Shared(false)
        withBlockedPool {
            let thread = TestThread {
                for number in 0..<20 {
                    #expect(table.refusal(of: [slot(0, at: UInt64(number))]) == nil)
                    #expect(throws: Never.self) { try entry.run {} }
                    #expect(table.snapshot().generation == Generation(UInt64(number) + 1))
                }
            }
            let hasEnded = thread.join()
            isDone.update { $0 = hasEnded }
        }
        #expect(isDone.value)
    }

    @Test("holds up no submit of a task")
    func tasks() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let isDone = Shared(false)
        // The thread of the table's own does it; nothing here needs a thread of the pool.
        withBlockedPool {
            let done = Signal()
            table.submissions.run {
                #expect(table.refusal(of: [slot(0, at: 0)]) == nil)
                done.send()
            }
            let hasEnded = done.wait()
            isDone.update { $0 = hasEnded }
        }
        #expect(isDone.value)
    }

    @Test("tasks submit one after the other, and hear what is wrong")
    func async() async throws {
        let table = try MemslotTable(backend: ModelBackend())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<20 {
                group.addTask {
                    let receipt = try await table.submit([slot(0, at: UInt64(number))])
                    #expect(receipt.outcome == .committed)
                }
            }
            try await group.waitForAll()
        }
        #expect(table.snapshot().generation == Generation(20))
        await #expect(throws: SubmitError.self) {
            try await table.submit([slot(0, at: 0, pages: 0)])
        }
    }

    @Test("a table that is let go while a task waits for it still answers")
    func letGo() async throws {
        let backend = ModelBackend()
        try await MemslotTable(backend: backend).submit([slot(0, at: 0)])
        #expect(backend.slots.count == 1)
    }
}
