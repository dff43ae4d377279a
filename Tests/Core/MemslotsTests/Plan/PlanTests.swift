import Testing

@testable import Memslots

@Suite("the plan")
struct PlanTests {
    /// What is wrong with `plan` as a way from `old` to `new`; empty where nothing is.
    private func faults(_ plan: Plan, from old: [Memslot], to new: [Memslot]) -> [String] {
        var faults: [String] = []
        var kernel = KernelModel(old)
        for (index, operation) in plan.operations.enumerated() {
            if let why = kernel.apply(operation.call) { faults.append("\(index): \(why)") }
        }
        if kernel.array != new.byKey { faults.append("ends elsewhere") }
        return faults
    }

    /// Delete, move, create, log on, log off.
    private func phase(_ operation: PlannedOperation) -> Int {
        switch operation.call {
        case .delete: 0
        case .move: 1
        case .create: 2
        case .reflag(_, let to): to.isLogging ? 3 : 4
        }
    }

    @Test("each call is legal where it stands, and the last leaves the wanted array")
    func legal() {
        var arrays = RandomArrays(seed: 4)
        var wrong: [String] = []
        var seen: [Int] = [0, 0, 0, 0, 0]
        var cycles = 0
        for round in 0..<6_000 {
            arrays.backings = round % 2 == 0 ? 1 : 2
            arrays.largest = UInt64(1 + round % 3)
            let old = arrays.next()
            let new = round % 4 == 0 ? arrays.next() : arrays.near(old)
            let plan = Plan(MemslotDiff(from: old.byKey, to: new.byKey))
            wrong += faults(plan, from: old, to: new).map { "round \(round), operation \($0)" }
            for operation in plan.operations { seen[phase(operation)] += 1 }
            cycles += plan.operations.count { $0.reason == .cycle }
        }
        #expect(wrong.isEmpty)
        #expect(seen.allSatisfy { $0 > 500 }, "the draws reach every phase")
        #expect(cycles > 100, "the draws reach cycles")
    }

    @Test("deletes, moves, creates, logs on, logs off; each by key where nothing else decides")
    func order() {
        var arrays = RandomArrays(seed: 5)
        var wrong = 0
        for _ in 0..<3_000 {
            let old = arrays.next()
            let new = arrays.near(old)
            let operations = Plan(MemslotDiff(from: old.byKey, to: new.byKey)).operations
            if operations.map(phase) != operations.map(phase).sorted() { wrong += 1 }
            for kind in [0, 2, 3, 4] {
                let keys = operations.filter { phase($0) == kind }.map(\.call.key)
                if keys != keys.sorted() { wrong += 1 }
            }
            if smallestOrder(of: operations.map(\.call), from: old)
                != operations.filter({ phase($0) == 1 }).map(\.call.key)
            {
                wrong += 1
            }
        }
        #expect(wrong == 0)
    }

    /// The moves among `calls`, each time the legal one with the smallest key.
    private func smallestOrder(of calls: [SlotCall], from old: [Memslot]) -> [SlotKey] {
        var kernel = KernelModel(old)
        var moves: [SlotCall] = []
        for call in calls {
            if case .delete = call { _ = kernel.apply(call) }
            if case .move = call { moves.append(call) }
        }
        moves.sort { $0.key < $1.key }
        var order: [SlotKey] = []
        while let index = moves.firstIndex(where: { call in
            var scratch = kernel
            return scratch.apply(call) == nil
        }) {
            _ = kernel.apply(moves[index])
            order.append(moves.remove(at: index).key)
        }
        return order
    }

    @Test("reasons stand on replaced and cycle calls alone, and hooks hear the difference")
    func reasonsAndChanges() {
        var arrays = RandomArrays(seed: 6)
        arrays.backings = 1
        var wrong = 0
        for _ in 0..<3_000 {
            let old = arrays.next()
            let new = arrays.near(old)
            let diff = MemslotDiff(from: old.byKey, to: new.byKey)
            let plan = Plan(diff)
            let replaced = Set(diff.added.map(\.assignedKey)).intersection(
                diff.removed.map(\.assignedKey))
            let moved = Set(diff.moved.map(\.before.assignedKey))
            for operation in plan.operations {
                let key = operation.call.key
                let expected: PlannedOperation.Reason?
                switch operation.call {
                case .create, .delete:
                    expected =
                        replaced.contains(key) ? .replaced : moved.contains(key) ? .cycle : nil
                case .move, .reflag: expected = nil
                }
                if operation.reason != expected { wrong += 1 }
            }
            let reported =
                diff.added.map { MemslotChange.added($0) }
                + diff.removed.map { .removed($0) }
                + diff.moved.map { .moved(from: $0.before, to: $0.after) }
                + diff.reflagged.map { .reflagged(from: $0.before, to: $0.after) }
            if reported.count != plan.changes.count || Set(reported) != Set(plan.changes) {
                wrong += 1
            }
            for key in replaced {
                let order = plan.changes.filter { $0.key == key }.map { change in
                    if case .removed = change { "removed" } else { "other" }
                }
                if order != ["removed", "other"] { wrong += 1 }
            }
        }
        #expect(wrong == 0)
    }

    @Test("vCPUs are held out for changes that a guest may notice, not for one deletion alone")
    func quiescence() {
        let plain = slot(0, at: 0)
        let logging = plain.with(.logDirtyPages)
        let x86 = Capabilities(deletesAtOneInstant: true)
        func needs(_ old: [Memslot], _ new: [Memslot]) -> Bool {
            Plan(MemslotDiff(from: old, to: new), for: x86).needsQuiescence
        }
        #expect(!needs([], [plain]))
        #expect(!needs([plain], [logging]))
        #expect(!needs([plain], [logging, slot(1, at: 1)]))
        #expect(needs([logging], [plain]))
        #expect(!needs([plain], []))
        #expect(needs([logging], []))
        #expect(needs([plain, slot(1, at: 1)], []))
        #expect(needs([plain], [slot(1, at: 1)]))
        #expect(needs([plain, slot(1, at: 1)], [slot(1, at: 1, flags: .logDirtyPages)]))
        #expect(
            Plan(
                MemslotDiff(from: [plain], to: []), for: Capabilities(deletesAtOneInstant: false)
            ).needsQuiescence)
        #expect(needs([plain], [plain.at(1)]))
        #expect(needs([plain], [logging.at(1)]))
        #expect(needs([plain], [slot(0, at: 0, pages: 2)]))
    }

    @Test("a cycle is broken at the same slot on every run")
    func deterministic() {
        for length in 3...24 {
            let old = (0..<length).map { slot(UInt32($0), at: UInt64($0)) }
            let new = old.indices.map { old[$0].at(UInt64(($0 + 1) % length)) }
            let plan = Plan(MemslotDiff(from: old, to: new))
            #expect(plan.operations.first?.call == .delete(old[0]))
        }
    }

    @Test("a plan holds vCPUs out just where one of its calls is noticed by a running guest")
    func noticedCalls() {
        let (before, after) = (slot(0, at: 0), slot(0, at: 8))
        let logged = before.with(.logDirtyPages)
        let calls: [(SlotCall, Bool)] = [
            (.create(before), false), (.delete(before), true),
            (.move(from: before, to: after), true),
            (.reflag(from: before, to: logged), false), (.reflag(from: logged, to: before), true),
        ]
        for (call, isNoticed) in calls { #expect(call.needsQuiescence == isNoticed, "\(call)") }

        var arrays = RandomArrays(seed: 14)
        var (wrong, quiet) = (0, 0)
        for _ in 0..<2_000 {
            let old = arrays.next()
            let plan = Plan(MemslotDiff(from: old.byKey, to: arrays.near(old).byKey))
            let calls = plan.operations.map(\.call)
            let isLoneDeletion =
                calls.count == 1 && calls[0].after == nil && !calls[0].endsLogging
            let isNoticed = !isLoneDeletion && calls.contains(where: \.needsQuiescence)
            if plan.needsQuiescence != isNoticed { wrong += 1 }
            if !plan.needsQuiescence { quiet += 1 }
        }
        #expect(wrong == 0)
        #expect(quiet > 50)
    }
}
