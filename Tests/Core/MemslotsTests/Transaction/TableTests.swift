import Testing

@testable import Memslots

@Suite("the table")
struct TableTests {
    private func array(_ number: UInt64) -> [Memslot] { [slot(0, at: number, host: 1)] }

    @Test("commits against the generation that was expected, and on no other")
    func compareAndSwap() throws {
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend)
        func expecting(_ generation: UInt64) -> SubmitOptions {
            SubmitOptions(expectedGeneration: Generation(generation))
        }
        #expect(table.refusal(of: array(0), options: expecting(0)) == nil)
        #expect(
            table.refusal(of: array(1), options: expecting(0))
                == .conflict(present: Generation(1), expected: Generation(0)))
        #expect(table.refusal(of: array(1), options: expecting(2))?.kind == "generation-conflict")
        #expect(throws: SubmitError.self) { try table.plan(array(1), options: expecting(2)) }
        #expect(backend.calls.count == 1)
        // An invalid array is reported before a conflict.
        #expect(
            table.refusal(of: [slot(0, at: 0, pages: 0)], options: expecting(9))?.kind
                == "zero-size")
    }

    @Test("of many submits that expect one generation exactly one commits")
    func onlyOne() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let committed = Shared(0)
        let threads = (1...8).map { number in
            TestThread {
                let options = SubmitOptions(expectedGeneration: Generation(0))
                if table.refusal(of: array(UInt64(number)), options: options) == nil {
                    committed.update { $0 += 1 }
                }
            }
        }
        #expect(threads.allSatisfy { $0.join() })
        #expect(committed.value == 1)
        #expect(table.snapshot().generation == Generation(1))
    }

    @Test("plans as it would submit, and changes nothing by it")
    func plan() throws {
        var arrays = RandomArrays(seed: 13)
        for _ in 0..<200 {
            let present = arrays.next()
            let backend = ModelBackend(present)
            let table = try MemslotTable(backend: backend, installed: present)
            var new = arrays.near(present)
            for index in new.indices where index % 2 == 0 { new[index].id = nil }
            let planned = try table.plan(new)
            #expect(backend.calls.isEmpty)
            #expect(backend.slots == present.byKey)
            #expect(table.snapshot().generation == Generation(0))
            #expect(table.history().isEmpty)
            var done = try table.submit(new)
            #expect(planned.durations == Receipt.Durations())
            done.durations = planned.durations
            #expect(planned.isPlan == (planned.outcome == .committed))
            #expect(!done.isPlan)
            done.isPlan = planned.isPlan
            #expect(planned == done)
            #expect(done.operations.map(\.call) == backend.calls)
        }
    }

    @Test("changes nothing, counts nothing and publishes nothing if the array is the same")
    func unchanged() throws {
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend)
        try table.submit(array(0))
        let events = Shared(0)
        let observation = try table.observe { _ in events.update { $0 += 1 } }.observation
        let receipt = try table.submit(array(0), options: SubmitOptions(quiesce: .always))
        #expect(receipt.outcome == .unchanged)
        #expect(receipt.generation == Generation(1))
        #expect(receipt.durations.nanoseconds.blackout == 0)
        #expect(events.value == 0)
        #expect(table.history().count == 1)
        #expect(backend.calls.count == 1)
        withExtendedLifetime(observation) {}
    }

    @Test("keeps the last receipts, oldest first, as many as its limit")
    func history() throws {
        let table = try MemslotTable(
            backend: ModelBackend(), limits: TableLimits(violations: 4, receipts: 3))
        for number in 0..<5 { try table.submit(array(UInt64(number))) }
        #expect(table.history().map(\.generation.rawValue) == [3, 4, 5])
        #expect(table.history(last: 2).map(\.generation.rawValue) == [4, 5])
        #expect(table.history(last: 0).isEmpty)
        #expect(table.history(last: -1).isEmpty)
        guard case .invalid(let faults)? = table.refusal(of: (0..<9).map { slot($0, at: 0) }) else {
            Issue.record("not invalid")
            return
        }
        #expect(faults.violations.count == 4 && faults.count == 8)
    }

    @Test("keeps fewer receipts where they hold very many operations")
    func bigHistory() throws {
        let budget = ReceiptBudget(bytes: 64 << 20)
        let history = ReceiptHistory(limit: 1_024, budget)
        let slots = (0..<30_000).map { slot(UInt32($0), at: UInt64($0)) }
        let diff = MemslotDiff(from: [], to: slots)
        for number in 0..<100 {
            history.append(
                Receipt(
                    generation: Generation(UInt64(number)), outcome: .committed, diff: diff,
                    operations: Plan(diff).operations))
        }
        #expect((2..<50).contains(history.last(.max).count))
        #expect(history.last(1).first?.generation == Generation(99))
        #expect((32 << 20...64 << 20).contains(budget.used))
    }

    @Test("the oldest receipts go first, whichever table they are of, and the budget is the sum")
    func receiptBudget() {
        func receipt(_ number: UInt64) -> Receipt {
            Receipt(
                generation: Generation(number), outcome: .committed,
                diff: MemslotDiff(from: [], to: []), operations: [])
        }
        let whole = ReceiptBudget(bytes: 1 << 20)
        let size: Int
        do {
            let one = ReceiptBudget(partOf: whole)
            let history = ReceiptHistory(limit: 8, one)
            history.append(receipt(1))
            size = one.used
            #expect(size > 0 && whole.used == size)
        }
        #expect(whole.used == 0)
        let budget = ReceiptBudget(bytes: 4 * size, partOf: whole)
        let other = ReceiptBudget(partOf: whole)
        var (first, second) = (ReceiptHistory(limit: 3, budget), ReceiptHistory(limit: 3, budget))
        for number in 1...3 as ClosedRange<UInt64> {
            first.append(receipt(number))
            second.append(receipt(number))
        }
        func generations(_ history: ReceiptHistory) -> [UInt64] {
            history.last(.max).map(\.generation.rawValue)
        }
        #expect(generations(first) == [2, 3] && generations(second) == [2, 3])
        // Beyond a table's own limit its oldest goes; so does its share of the budget.
        for number in 4...6 as ClosedRange<UInt64> { second.append(receipt(number)) }
        #expect(generations(second) == [4, 5, 6])
        #expect(budget.used == 4 * size && generations(first) == [3])
        first = ReceiptHistory(limit: 3, budget)
        #expect(budget.used == 3 * size && whole.used == 3 * size)
        // Without room in the whole, each part drops its own.
        let third = ReceiptHistory(limit: 1_000_000, other)
        for number in 0..<UInt64((1 << 20) / size + 10) { third.append(receipt(number)) }
        #expect(whole.used <= 1 << 20)
        #expect(generations(second) == [4, 5, 6])
        // Even its newest, or many parts would exceed the whole by one each.
        let none = ReceiptHistory(limit: 3, ReceiptBudget(partOf: whole))
        none.append(receipt(1))
        #expect(generations(none).isEmpty && whole.used <= 1 << 20)
        second = ReceiptHistory(limit: 3, budget)
        #expect(budget.used == 0 && whole.used == other.used)
    }

    @Test("sends an observer all events after the snapshot that it returned, in order")
    func observers() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let stop = Shared(false)
        let submitter = TestThread {
            var number: UInt64 = 0
            while !stop.value {
                number += 1
                _ = table.refusal(of: array(number))
            }
        }
        for _ in 0..<40 {
            let seen = Shared<[Generation]>([])
            let gaps = Shared(0)
            let (snapshot, observation) = try table.observe { event in
                guard case .committed(let receipt, let previous, let array) = event else { return }
                if previous.next != receipt.generation { gaps.update { $0 += 1 } }
                if array.slots != table.snapshot().array.slots { gaps.update { $0 += 1 } }
                seen.update { $0.append(receipt.generation) }
            }
            let hasSeen = yieldThread { seen.value.count >= 3 }
            #expect(hasSeen)
            withExtendedLifetime(observation) {}
            let generations = seen.value
            let expected = generations.indices.map {
                Generation(snapshot.generation.rawValue + 1 + UInt64($0))
            }
            #expect(generations == expected)
            #expect(gaps.value == 0)
        }
        stop.update { $0 = true }
        #expect(submitter.join())
    }

    @Test("publishes a rollback, a failure and the recovery")
    func badNews() throws {
        let backend = ModelBackend(array(0))
        let table = try MemslotTable(backend: backend, installed: array(0))
        let events = Shared<[String]>([])
        let (_, observation) = try table.observe { event in
            events.update { $0.append("\(event)".prefix { $0 != "(" }.description) }
        }
        let other = array(0) + [slot(1, at: 50), slot(2, at: 60)]
        backend.refuse(at: 1)
        #expect(table.refusal(of: other)?.kind == "rolled-back")
        backend.refuse(at: 1, 2)
        #expect(table.refusal(of: other)?.kind == "vm-failed")
        backend.refuse()
        try table.recover()
        try table.recover()
        #expect(events.value == ["rolledBack", "failed", "recovered"])
        withExtendedLifetime(observation) {}
        #expect(table.history().isEmpty)
    }
}
