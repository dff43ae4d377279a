import Foundation
import Testing

@testable import Memslots

/// Submits that wait for others of their table.
@Suite("the thread that is inside executes what waits")
struct CombiningTests {
    /// Stays in its first `prepare` until it is let go, and records the thread of each commit.
    fileprivate final class Hook: MemslotHook {
        let name = "hook"
        let needsQuiescence = false
        let isInside = Signal()
        let mayLeave = Signal()
        let threads = Shared<[pthread_t]>([])
        let commits = Shared<[SlotKey]>([])
        private let isFirst = Shared(true)
        let inCommit: @Sendable () -> Void

        init(_ inCommit: @escaping @Sendable () -> Void = {}) { self.inCommit = inCommit }

        func prepare(_ change: MemslotChange) throws(HookVeto) {
            guard
                isFirst.update({ isFirst in
                    defer { isFirst = false }
                    return isFirst
                })
            else { return }
            isInside.send()
            mayLeave.wait()
        }
        func commit(_ change: MemslotChange) {
            let thread = pthread_self()
            threads.update { $0.append(thread) }
            commits.update { $0.append(change.key) }
            inCommit()
        }
        func finish(_ change: MemslotChange) {}
        func abort(_ change: MemslotChange) {}
    }

    private let backend = ModelBackend()
    private let table: MemslotTable
    private let hook = Hook()

    init() throws {
        table = try MemslotTable(backend: backend)
        table.add(hook)
    }

    /// A thread that submits one slot, and has begun to wait if another submit is inside.
    private func submit(
        _ id: UInt32, deadline: Duration = .seconds(600), waiting: Int? = nil,
        into errors: Shared<[SubmitError?]> = Shared([])
    ) -> TestThread {
        let table = table
        let thread = TestThread {
            let error = table.refusal(
                of: [slot(id, at: UInt64(id))], options: SubmitOptions(quiesceDeadline: deadline))
            errors.update { $0.append(error) }
        }
        if let waiting {
            #expect(yieldThread { table.transactions.waitingCount == waiting })
        }
        return thread
    }

    @Test("in the order of their calls, on one thread, with a receipt for each")
    func order() throws {
        var threads = [submit(0)]
        hook.isInside.wait()
        for id in 1...5 { threads.append(submit(UInt32(id), waiting: id)) }
        hook.mayLeave.send()
        for thread in threads { #expect(thread.join()) }
        // Each but the first replaces the one before: its slot is removed, then one is added.
        let expected = [0] + (1...5).flatMap { [$0 - 1, $0] }
        #expect(hook.commits.value.map { Int($0.id.rawValue) } == expected)
        #expect(Set(hook.threads.value).count == 1)
        #expect(table.history().map(\.generation.rawValue) == [1, 2, 3, 4, 5, 6])
    }

    @Test("but each on its own thread where callbacks need that")
    func ownThreads() throws {
        table.keepSubmitsOnTheirThreads()
        var threads = [submit(0)]
        hook.isInside.wait()
        for id in 1...5 { threads.append(submit(UInt32(id), waiting: id)) }
        hook.mayLeave.send()
        for thread in threads { #expect(thread.join()) }
        #expect(table.history().map(\.generation.rawValue) == [1, 2, 3, 4, 5, 6])
        #expect(Set(hook.threads.value).count == 6)
    }

    @Test("except one whose deadline comes first: it is withdrawn and never executed")
    func withdrawn() throws {
        let errors = Shared<[SubmitError?]>([])
        let first = submit(0)
        hook.isInside.wait()
        // The thread that is inside can't let it begin before the deadline, which runs from its call.
        #expect(submit(1, deadline: .milliseconds(5), into: errors).join())
        #expect(submit(2, deadline: .zero, into: errors).join())
        #expect(errors.value == Array(repeating: .quiesceTimeout(vcpus: [], readers: []), count: 2))
        #expect(try #require(errors.value[0]).message.contains("other submits"))
        #expect(table.transactions.waitingCount == 0)
        hook.mayLeave.send()
        #expect(first.join())
        #expect(backend.slots == [slot(0, at: 0)])
    }

    @Test("re-entry is refused on the submitter's thread, before it waits")
    func reentry() throws {
        let first = submit(0)
        hook.isInside.wait()
        let table = table
        let other = TestThread {
            table.read { _ in
                #expect(
                    table.refusal(of: [])
                        == .reentrant(ReentryError(.reader, tried: .transaction)))
            }
        }
        #expect(other.join())
        hook.mayLeave.send()
        #expect(first.join())
    }

    @Test("but not from inside a callback of another table: the next in line takes its place")
    func otherTable() throws {
        let outer = try MemslotTable(backend: ModelBackend())
        let table = table
        outer.add(
            Hook {
                // Inside a hook of `outer`.
                #expect(table.refusal(of: [slot(0, at: 0)]) == nil)
            }.released())
        let outside = TestThread { #expect(outer.refusal(of: [slot(9, at: 9)]) == nil) }
        hook.isInside.wait()
        let waiting = submit(1, waiting: 1)
        hook.mayLeave.send()
        #expect(outside.join() && waiting.join())
        #expect(Set(hook.threads.value).count == 2)
    }

    @Test("what each of them fails with reaches its own thread, and the others commit")
    func failures() throws {
        let table = table
        let first = submit(0)
        hook.isInside.wait()
        let wrong: [(slots: [Memslot], expected: Generation?)] = [
            ([slot(1, at: 1), slot(2, at: 1)], nil), ([slot(2, at: 2)], nil),
            ([slot(3, at: 3)], Generation(1)), ([slot(4, at: 4)], Generation(2)),
        ]
        let kinds = Shared([String?](repeating: "none", count: wrong.count))
        var threads: [TestThread] = []
        for (number, array) in wrong.enumerated() {
            threads.append(
                TestThread {
                    let options = SubmitOptions(
                        expectedGeneration: array.expected, quiesceDeadline: .seconds(600))
                    let error = table.refusal(of: array.slots, options: options)
                    kinds.update { $0[number] = error?.kind }
                })
            #expect(yieldThread { table.transactions.waitingCount == number + 1 })
        }
        hook.mayLeave.send()
        for thread in threads + [first] { #expect(thread.join()) }
        #expect(kinds.value == ["overlap", nil, "generation-conflict", nil])
        #expect(backend.slots == [slot(4, at: 4)])
    }

    @Test("the wait uses up the deadline for vCPUs")
    func deadline() throws {
        final class Hold: VCPUHold {
            let deadline = Shared<Deadline?>(nil)
            func beginHolding() {}
            func waitUntilHeld(by deadline: Deadline) -> [String] {
                self.deadline.update { $0 = deadline }
                return []
            }
            func exclusively(_ body: () -> Void) { body() }
            func endHolding() {}
        }
        let hold = Hold()
        let table = try MemslotTable(backend: backend, vcpus: hold)
        table.add(hook)
        let first = TestThread { _ = table.refusal(of: [slot(0, at: 0)]) }
        hook.isInside.wait()
        let second = TestThread {
            let options = SubmitOptions(quiesce: .always, quiesceDeadline: .seconds(600))
            #expect(table.refusal(of: [slot(1, at: 1)], options: options) == nil)
        }
        #expect(yieldThread { table.transactions.waitingCount == 1 })
        let start = monotonicNow()
        usleep(1_000_000)
        hook.mayLeave.send()
        #expect(first.join() && second.join())
        let end = try #require(hold.deadline.value).nanoseconds
        // Without the second that it waited.
        #expect(end >= start && end - start < 600_900_000_000)
    }

    @Test("a task's submit that waited for others past its deadline is not executed")
    // In a process of its own: other tests take all threads of the task pool.
    func tasks() async {
        await #expect(processExitsWith: .success) {
            let (backend, hook) = (ModelBackend(), Hook())
            let table = try MemslotTable(backend: backend)
            table.add(hook)
            @Sendable func submit(_ id: UInt32, _ deadline: Duration) async throws {
                try await table.submit(
                    [slot(id, at: UInt64(id))], options: SubmitOptions(quiesceDeadline: deadline))
            }
            func waitUntil(_ count: Int) async throws {
                while table.submissions.waitingCount < count {
                    try await Task.sleep(for: .milliseconds(1))
                }
            }
            let first = Task { try await submit(0, .seconds(600)) }
            await withCheckedContinuation { inside in
                _ = TestThread {
                    hook.isInside.wait()
                    inside.resume()
                }
            }
            let late = Task { try await submit(1, .milliseconds(1)) }
            try await waitUntil(1)
            let next = Task { try await submit(2, .seconds(600)) }
            try await waitUntil(2)
            try await Task.sleep(for: .milliseconds(20))
            hook.mayLeave.send()
            try await first.value
            guard case .failure(let error) = await late.result,
                error as? SubmitError == .quiesceTimeout(vcpus: [], readers: [])
            else { exit(1) }
            try await next.value
            guard backend.slots == [slot(2, at: 2)] else { exit(2) }
            // Where nobody waits, no time is needed.
            try await submit(3, .zero)
        }
    }

    @Test("threads that contend lose no submit")
    func contention() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let commits = Shared(0)
        let threads = (0..<8).map { number in
            TestThread {
                for turn in 0..<100 {
                    // Always another array than that of any other thread.
                    let page = UInt64(number * 2 + turn % 2)
                    if table.refusal(of: [slot(0, at: page)]) == nil { commits.update { $0 += 1 } }
                }
            }
        }
        for thread in threads { #expect(thread.join()) }
        #expect(commits.value == 800)
        #expect(table.snapshot().generation == Generation(800))
    }
}

extension CombiningTests.Hook {
    /// The hook, which stays in no `prepare`.
    fileprivate func released() -> Self {
        mayLeave.send()
        return self
    }
}
