import Testing

@testable import Memslots

@Suite("why vCPUs are held")
struct HoldReasonTests {
    /// A hold that records whether a hook's `commit` ran inside it.
    private final class RecordingHold: VCPUHold {
        let isHeld = Shared(false)

        func beginHolding() { isHeld.update { $0 = true } }
        func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
        func exclusively(_ body: () -> Void) { body() }
        func endHolding() { isHeld.update { $0 = false } }
    }

    private final class Hook: MemslotHook {
        let name = "hook"
        let needsQuiescence: Bool
        let hold: RecordingHold
        /// Whether vCPUs were held in each `commit`.
        let commits = Shared<[Bool]>([])

        init(_ hold: RecordingHold, needs: Bool) { (self.hold, needsQuiescence) = (hold, needs) }

        func prepare(_ change: MemslotChange) throws(HookVeto) {}
        func commit(_ change: MemslotChange) {
            let isHeld = hold.isHeld.value
            commits.update { $0.append(isHeld) }
        }
        func finish(_ change: MemslotChange) {}
        func abort(_ change: MemslotChange) {}
    }

    private static let other = slot(9, at: 90)

    /// Submits `new` after `old`, both beside a slot that stays, and checks that a plan, the receipt
    /// and the history have the same.
    private func reason(
        _ old: [Memslot], _ new: [Memslot], _ quiesce: SubmitOptions.Quiesce = .auto,
        hook: Bool? = nil, deletesAtOneInstant: Bool = true
    ) throws -> HoldReason? {
        var capabilities = wideCapabilities
        capabilities.deletesAtOneInstant = deletesAtOneInstant
        let installed = (old + [Self.other]).byKey
        let hold = RecordingHold()
        let table = try MemslotTable(
            backend: ModelBackend(installed, capabilities: capabilities), installed: installed,
            vcpus: hold)
        let added = hook.map { Hook(hold, needs: $0) }
        if let added { table.add(added) }
        let options = SubmitOptions(quiesce: quiesce)
        let planned = try table.plan(new + [Self.other], options: options)
        let receipt = try table.submit(new + [Self.other], options: options)
        #expect(receipt.quiesced == (receipt.holdReason != nil))
        #expect(planned.quiesced == receipt.quiesced)
        #expect(planned.holdReason == receipt.holdReason)
        #expect(table.history().last?.holdReason == receipt.holdReason)
        #expect(receipt.holdReason.map { "\(receipt)".contains("(\($0.rawValue))") } ?? true)
        if let added { #expect(added.commits.value.allSatisfy { $0 == receipt.quiesced }) }
        return receipt.holdReason
    }

    private let a = slot(0, at: 0, pages: 4)
    private let b = slot(1, at: 8, pages: 4)
    private var logging: Memslot { a.with(.logDirtyPages) }

    @Test("nothing: additions, log-ons, and one deletion of a slot that does not log")
    func none() throws {
        #expect(try reason([], [a, b]) == nil)
        #expect(try reason([a], [logging, b]) == nil)
        let deleted = [
            a, a.with(.readOnly), slot(3, at: 0, pages: 4, space: 1),
            slot(0, at: 0, pages: 4, flags: .guestMemfd, guestMemfd: .own),
        ]
        for slot in deleted {
            #expect(try reason([slot, b], [b]) == nil, "\(slot)")
            #expect(try reason([slot, b], [b], hook: false) == nil)
        }
    }

    @Test("a deletion with anything else, and a move: several visible changes")
    func several() throws {
        #expect(try reason([a, b], []) == .severalVisibleChanges)
        #expect(try reason([a], [b]) == .severalVisibleChanges)
        #expect(try reason([a, b], [b.with(.logDirtyPages)]) == .severalVisibleChanges)
        #expect(try reason([a], [a.at(20)]) == .severalVisibleChanges)
        // Replaced at a place that shares no page with the former one.
        #expect(try reason([a], [slot(0, at: 20, pages: 2)]) == .severalVisibleChanges)
        // The same pages of another address space are other pages.
        #expect(try reason([a], [slot(3, at: 0, space: 1)]) == .severalVisibleChanges)
    }

    @Test("a page that both arrays map in a slot that is deleted, moved or replaced: overlap")
    func overlap() throws {
        #expect(try reason([a], [a.with(.readOnly)]) == .overlap)
        #expect(try reason([a], [a.at(3)]) == .overlap)
        #expect(try reason([a], [slot(0, at: 0, pages: 2)]) == .overlap)
        #expect(try reason([a], [slot(5, at: 3, pages: 4)]) == .overlap)
        #expect(try reason([a, b], [a.at(8), b.at(0)]) == .overlap)
        #expect(try reason([logging], [slot(5, at: 0)]) == .overlap)
        // The overlap is not between slots of the same position in their lists.
        #expect(
            try reason(
                [a, b, slot(2, at: 16)],
                [slot(3, at: 50), slot(4, at: 60), slot(5, at: 11)]) == .overlap)
        #expect(
            try reason(
                [a, b], [slot(3, at: 12), slot(4, at: 13), slot(5, at: 7)])
                == .severalVisibleChanges)
    }

    @Test("a slot that logs is deleted, replaced or un-logged: a log ends")
    func logEnds() throws {
        #expect(try reason([logging, b], [b]) == .logEnds)
        #expect(try reason([logging], [a]) == .logEnds)
        #expect(try reason([logging], [a.at(20)]) == .logEnds)
        #expect(try reason([logging, b], []) == .logEnds)
        #expect(try reason([logging], [slot(0, at: 20, pages: 2)]) == .logEnds)
        #expect(try reason([logging], [logging.at(20)]) == .severalVisibleChanges)
    }

    @Test("a hook, else the caller, where the plan does not need it")
    func hookAndCaller() throws {
        for (old, new) in [([a, b], [b]), ([], [a])] {
            #expect(try reason(old, new, hook: true) == .hook)
            #expect(try reason(old, new, .always, hook: true) == .hook)
            #expect(try reason(old, new, .always, hook: false) == .asked)
            #expect(try reason(old, new, .always) == .asked)
        }
        #expect(try reason([a, b], [], .always, hook: true) == .severalVisibleChanges)
    }

    @Test("a deletion alone, where KVM does not take the slot from all vCPUs at one instant")
    func arm64() throws {
        #expect(try reason([a, b], [b], deletesAtOneInstant: false) == .severalVisibleChanges)
        #expect(try reason([], [a], deletesAtOneInstant: false) == nil)
    }

    /// How many calls continuity makes before the hold and after it; `nil` without a hold.
    private func parts(
        _ old: [Memslot], _ new: [Memslot], hook: Bool = false
    ) -> (head: Int, tail: Int, reason: HoldReason)? {
        let diff = MemslotDiff(from: old.byKey, to: new.byKey)
        var plan = Plan(diff)
        let hold = plan.arrange(diff, .continuity, hooksNeedHold: hook)
        return hold.reason.map { (hold.head, hold.tail, $0) }
    }

    @Test("continuity: not for changes that leave what both arrays map, and end no log")
    func continuity() throws {
        #expect(parts([a, b], []) == nil)
        #expect(parts([a], [b]) == nil)
        #expect(parts([a], [a.at(20)]) == nil)
        #expect(parts([a], [slot(0, at: 20, pages: 2)]) == nil)
        #expect(parts([a, b], [b.with(.logDirtyPages)]) == nil)
        #expect(parts([a], [a.at(20).with(.logDirtyPages)]) == nil)
        #expect(try #require(parts([a], [a.at(20)], hook: true)).reason == .hook)
        // A move whose slot logs.
        #expect(try #require(parts([logging], [logging.at(20)])).reason == .severalVisibleChanges)
        #expect(try #require(parts([logging, b], [b])).reason == .logEnds)
        #expect(try #require(parts([a], [a.at(3)])).reason == .overlap)
    }

    @Test("continuity: which creates come before the hold, and which deletes after it")
    func headAndTail() throws {
        // A split that keeps its host pages, beside other changes.
        let whole = slot(1, at: 8, pages: 4, host: 0x100)
        let halves = [
            slot(1, at: 8, pages: 2, host: 0x100), slot(2, at: 10, pages: 2, host: 0x102),
        ]
        func check(
            _ old: [Memslot], _ new: [Memslot], _ head: Int, _ tail: Int, hook: Bool = false,
            _ line: Int = #line
        ) throws {
            let parts = try #require(self.parts([whole] + old, halves + new, hook: hook))
            #expect(parts.reason == .overlap && parts.head == head && parts.tail == tail, "\(line)")
        }
        let (p, q) = (slot(5, at: 50, pages: 2), slot(6, at: 60, pages: 2))
        try check([], [p, q], 2, 0)
        try check([p, q], [], 0, 2)
        try check([p], [q], 1, 1)
        try check([p], [q], 0, 0, hook: true)
        // A log keeps a slot in the hold.
        try check([p.with(.logDirtyPages)], [q.with(.logDirtyPages)], 0, 0)
        // A place that the plan frees: the slot leaves for another, or for the same under another id.
        try check([p], [p.at(70), slot(6, at: 51, pages: 2, host: 0x900)], 0, 0)
        try check([slot(7, at: 50, host: 0x900)], [slot(6, at: 50, host: 0x900)], 0, 0)
        // An id that the plan frees.
        try check([p], [slot(5, at: 70, pages: 3)], 0, 0)
        // The same numbers in another address space are another place.
        try check([p], [slot(5, at: 50, pages: 2, space: 1)], 1, 1)
        // A page that stays has another host page or other rights: nothing is outside.
        try check([p, slot(8, at: 80)], [q, slot(8, at: 80, host: 0x9)], 0, 0)
        try check([p, slot(8, at: 80)], [q, slot(8, at: 80, flags: .readOnly)], 0, 0)
        // The same page of a memory object, at another address.
        func object(_ id: UInt32, _ offset: UInt64, host: UInt64, pages: UInt64 = 2) -> Memslot {
            slot(
                id, at: 80 + offset, pages: pages, host: host,
                memory: MemoryReference(
                    object: MemoryObjectID(rawValue: 1), offset: .pages(offset)))
        }
        try check([p, object(8, 0, host: 0x100)], [q, object(8, 0, host: 0x700, pages: 1)], 1, 1)
        // A guest_memfd that the plan frees.
        func memfd(_ id: UInt32, at page: UInt64, _ descriptor: Int32) -> Memslot {
            slot(
                id, at: page, pages: 2, flags: .guestMemfd,
                guestMemfd: GuestMemfdBinding(descriptor: descriptor))
        }
        try check([memfd(8, at: 80, 3)], [memfd(9, at: 90, 3)], 0, 0)
        try check([memfd(8, at: 80, 3)], [memfd(9, at: 90, 4)], 1, 1)
    }

    @Test("the sweep for an overlap finds what a comparison of all pairs finds")
    func sweep() throws {
        var arrays = RandomArrays(seed: 16)
        var (overlaps, others) = (0, 0)
        for _ in 0..<3_000 {
            let (old, new) = (arrays.next().byKey, arrays.next().byKey)
            let diff = MemslotDiff(from: old, to: new)
            var plan = Plan(diff)
            guard plan.needsQuiescence else { continue }
            let calls = plan.operations.map(\.call).filter {
                if case .reflag = $0 { false } else { true }
            }
            let wanted = calls.compactMap(\.before).contains { old in
                calls.compactMap(\.after).contains { $0.overlaps(old) }
            }
            if wanted { overlaps += 1 } else { others += 1 }
            #expect((plan.arrange(diff, .auto, hooksNeedHold: false).reason == .overlap) == wanted)
        }
        #expect(overlaps > 100 && others > 20, "\(overlaps) \(others)")
    }
}
