import MemslotTestKit
import Memslots
import Testing

@testable import MemslotLab

/// All plans of small worlds, run beside two vCPUs that make every access at every point.
@Suite("the rule by which auto holds vCPUs")
struct HoldRuleTests {
    /// A plan, and what a vCPU may observe of it that it must not.
    private struct Case {
        let plan: Plan
        let fault: String?
    }

    private let plain = SmallKind()
    private let logging = SmallKind(logs: true)

    /// All arrays of up to `ids` slots on `pages` pages, of these kinds.
    private func arrays(ids: Int, pages: UInt64, _ kinds: [SmallKind]) -> [[Memslot]] {
        SmallLayout.all(ids: ids, pages: pages).flatMap { layout in
            layout.runs.enumerated().reduce([[]]) { arrays, entry in
                guard let run = entry.element else { return arrays }
                return arrays.flatMap { array in
                    kinds.map { array + [$0.slot(entry.offset, run)] }
                }
            }
        }
    }

    /// Every pair of each world's arrays, and pairs drawn from a larger one.
    private func pairs(_ body: (_ old: [Memslot], _ new: [Memslot], _ pages: UInt64) -> Void) {
        let all = [plain, logging, SmallKind(isReadOnly: true), SmallKind(backing: 1)]
        let worlds: [(ids: Int, pages: UInt64, kinds: [SmallKind])] = [
            (2, 2, all), (2, 3, [plain, logging]), (3, 3, [plain]),
        ]
        for world in worlds {
            let arrays = arrays(ids: world.ids, pages: world.pages, world.kinds)
            for old in arrays { for new in arrays where new != old { body(old, new, world.pages) } }
        }
        let layouts = SmallLayout.all(ids: 3, pages: 5)
        var random = SeededRandom(seed: 16)
        for _ in 0..<1_500 {
            let (old, new) = (random.array(of: layouts), random.array(of: layouts))
            if old != new { body(old, new, 5) }
        }
    }

    private func cases(onX86 isX86: Bool) -> [Case] {
        var cases: [Case] = []
        pairs { old, new, pages in
            let plan = Plan(
                MemslotDiff(from: old, to: new),
                for: Capabilities(deletesAtOneInstant: isX86))
            cases.append(
                Case(plan: plan, fault: fault(plan, old, new, pages: pages, retries: isX86)))
        }
        return cases
    }

    /// Runs the plan beside the vCPUs to its end, and with a failure at each call, after which vCPUs
    /// are held and all is undone.
    private func fault(
        _ plan: Plan, _ old: [Memslot], _ new: [Memslot], pages: UInt64, retries: Bool
    ) -> String? {
        let calls = plan.operations.map(\.call)
        for failure in 0...calls.count {
            var view = GuestView(old, pages: pages, retries: retries)
            for call in calls[..<failure] { view.apply(call) }
            if failure < calls.count {
                view.apply(calls[failure], fails: true)
                view.set(old)
            }
            if let fault = view.forbiddenBySnapshot(from: old, to: new) { return fault }
        }
        return nil
    }

    @Test("holds exactly the plans of which a vCPU may observe what it must not")
    func exact() {
        for isX86 in [true, false] {
            let cases = cases(onX86: isX86)
            let wrong = cases.filter { $0.plan.needsQuiescence != ($0.fault != nil) }
            #expect(wrong.isEmpty, "\(wrong.count), such as \(wrong[0])")
            let fewest = cases.count { $0.fault != nil }
            let formerly = cases.count {
                $0.plan.operations.contains(where: \.call.needsQuiescence)
            }
            let processor = isX86 ? "x86-64" : "arm64"
            print(
                "\(processor): of \(cases.count) plans a sound rule holds at least \(fewest), auto "
                    + "\(cases.count { $0.plan.needsQuiescence }); with every deletion \(formerly)")
            #expect(fewest > 1_000 && (fewest < formerly) == isX86)
            #expect(cases.contains { $0.fault == nil && $0.plan.operations.count > 1 })
        }
    }

    @Test("has no hold to spare: each rule that holds less is seen to be wrong")
    func mutants() {
        func isDeletion(_ call: SlotCall) -> Bool { if case .delete = call { true } else { false } }
        func isCreation(_ call: SlotCall) -> Bool { if case .create = call { true } else { false } }
        func isQuiet(_ call: SlotCall) -> Bool { !call.needsQuiescence }
        // Plans that each wrong rule would run beside the guest.
        let mutants: [(name: String, runsBeside: ([SlotCall]) -> Bool)] = [
            (
                "two deletions",
                { $0.count == 2 && $0.allSatisfy { isDeletion($0) && !$0.endsLogging } }
            ),
            (
                "a deletion and a creation elsewhere",
                { calls in
                    calls.count == 2 && isDeletion(calls[0]) && isCreation(calls[1])
                        && !calls[0].endsLogging && calls[0].key != calls[1].key
                        && !SmallKernel.pages(of: calls[0].before!).overlaps(
                            SmallKernel.pages(of: calls[1].after!))
                }
            ),
            (
                "a deletion and a log on",
                { calls in
                    calls.count == 2 && isDeletion(calls[0]) && !calls[0].endsLogging
                        && isQuiet(calls[1]) && !isCreation(calls[1])
                }
            ),
            (
                "a move",
                { calls in
                    if calls.count == 1, case .move = calls[0] {
                        !calls[0].endsLogging
                    } else {
                        false
                    }
                }
            ),
            (
                "a deletion of a slot that logs",
                { $0.count == 1 && isDeletion($0[0]) && $0[0].endsLogging }
            ),
            (
                "a log off",
                { calls in
                    if calls.count == 1, case .reflag = calls[0] {
                        calls[0].endsLogging
                    } else {
                        false
                    }
                }
            ),
            (
                "a change of READONLY",
                { calls in
                    calls.count == 2 && isDeletion(calls[0]) && isCreation(calls[1])
                        && calls[0].key == calls[1].key && !calls[0].endsLogging
                        && calls[0].before!.flags != calls[1].after!.flags
                        && calls[0].before!.guestPhysicalAddress
                            == calls[1].after!.guestPhysicalAddress
                }
            ),
        ]
        let cases = cases(onX86: true)
        for mutant in mutants {
            let run = cases.filter { mutant.runsBeside($0.plan.operations.map(\.call)) }
            #expect(!run.isEmpty && run.allSatisfy { $0.fault != nil }, "\(mutant.name)")
        }
        // And on arm64 a deletion alone, which KVM does not retry there.
        let lone = self.cases(onX86: false).filter {
            let calls = $0.plan.operations.map(\.call)
            return calls.count == 1 && isDeletion(calls[0]) && !calls[0].endsLogging
        }
        #expect(!lone.isEmpty && lone.allSatisfy { $0.fault != nil })
    }
}
