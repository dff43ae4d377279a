import Testing

@testable import Memslots

/// A range in whole pages.
private func range(_ page: UInt64, _ pages: UInt64) -> GuestRange {
    GuestRange(address: GuestPhysicalAddress(page * 4096), size: .pages(pages))
}

private func pages(_ ranges: [GuestRange]) -> Set<UInt64> {
    ranges.reduce(into: []) {
        $0.formUnion($1.address.pageNumber..<$1.address.pageNumber + $1.size.pageCount)
    }
}

private func options(
    _ ranges: [GuestRange]?, _ quiesce: SubmitOptions.Quiesce = .auto
) -> SubmitOptions {
    var options = SubmitOptions(quiesce: quiesce)
    options.privateRanges = ranges
    return options
}

@Suite("private guest ranges in a submit")
struct MemoryAttributeTests {
    private static let capabilities: Capabilities = {
        var capabilities = Capabilities(maxGuestPage: 0xffff)
        capabilities.memoryAttributes = true
        return capabilities
    }()

    private let backend: ModelBackend
    private let table: MemslotTable

    init() throws {
        backend = ModelBackend(capabilities: Self.capabilities)
        table = try MemslotTable(backend: backend)
    }

    private var privatePages: Set<UInt64> { backend.state.withLock { $0.privatePages } }
    private var attributeCalls: Int { backend.state.withLock { $0.attributeCalls } }

    @Test("the changes between two lists are the fewest, private ones first, as in a set of pages")
    func difference() {
        var random = RandomArrays(seed: 77).random
        func list() -> Set<UInt64> {
            Set((0..<24 as Range<UInt64>).filter { _ in Int.random(in: 0...2, using: &random) > 0 })
        }
        func ranges(_ pages: Set<UInt64>, cut: Bool) -> [GuestRange] {
            pages.sorted().reduce(into: []) { list, page in
                if let last = list.last,
                    last.address.pageNumber + last.size.pageCount == page,
                    !cut || Bool.random(using: &random)
                {
                    list[list.count - 1].size = .pages(last.size.pageCount + 1)
                } else {
                    list.append(range(page, 1))
                }
            }
        }
        for _ in 0..<2_000 {
            let (old, new) = (list(), list())
            let (before, after) = (
                GuestRangeSet(ranges(old, cut: true).shuffled(using: &random)),
                GuestRangeSet(ranges(new, cut: true).shuffled(using: &random))
            )
            #expect(after.ranges == ranges(new, cut: false) && after.count == after.ranges.count)
            let changes = MemoryAttributeChange.changes(from: before, to: after)
            #expect(pages(changes.filter(\.isPrivate).map(\.range)) == new.subtracting(old))
            #expect(pages(changes.filter { !$0.isPrivate }.map(\.range)) == old.subtracting(new))
            let runs =
                ranges(new.subtracting(old), cut: false).count
                + ranges(old.subtracting(new), cut: false).count
            #expect(changes.count == runs)
            let order = changes.map { ($0.isPrivate ? 0 : 1, $0.range.address.rawValue) }
            #expect(order.elementsEqual(order.sorted(by: <), by: ==))
            var walked = before
            walked.apply(changes.shuffled(using: &random))
            #expect(walked == after)
            walked.apply(changes)
            #expect(walked == before)
        }
    }

    @Test("a list is merged and kept, a list of the same pages changes nothing, none leaves it")
    func submit() throws {
        let slots = [slot(0, at: 0, pages: 8)]
        let receipt = try table.submit(slots, options: options([range(4, 2), range(2, 2)]))
        #expect(receipt.attributes == [MemoryAttributeChange(range(2, 4), isPrivate: true)])
        #expect(receipt.quiesced && receipt.holdReason == .severalVisibleChanges)
        #expect(table.snapshot().privateRanges == [range(2, 4)] && privatePages == [2, 3, 4, 5])
        for same in [nil, [range(2, 4)], [range(5, 1), range(2, 3)]] {
            let again = try table.submit(slots, options: options(same))
            #expect(again.outcome == .unchanged && again.attributes.isEmpty)
        }
        #expect(attributeCalls == 1 && table.snapshot().generation == Generation(1))
        // Attributes alone are a transaction; a submit of slots alone leaves them.
        let moved = try table.submit(slots, options: options([range(3, 1), range(90, 1)]))
        #expect(moved.generation == Generation(2) && moved.operations.isEmpty && moved.quiesced)
        #expect(
            moved.attributes == [
                MemoryAttributeChange(range(90, 1), isPrivate: true),
                MemoryAttributeChange(range(2, 1), isPrivate: false),
                MemoryAttributeChange(range(4, 2), isPrivate: false),
            ])
        #expect(moved.description.contains("3 attribute changes; vCPUs held out"))
        try table.submit([])
        #expect(privatePages == [3, 90] && table.snapshot().privateRanges.count == 2)
        let kept = KeptArrays(
            .empty, Generation(3), privateRanges: GuestRangeSet(table.snapshot().privateRanges),
            history: table.history())
        #expect(kept.privateRanges(at: Generation(1)) == [range(2, 4)])
        #expect(kept.privateRanges(at: Generation(0)).isEmpty)
        try table.submit([], options: options([]))
        #expect(privatePages.isEmpty)
    }

    @Test("a plan shows the changes and makes none")
    func plan() throws {
        let plan = try table.plan([], options: options([range(1, 1)]))
        #expect(plan.isPlan && plan.attributes.count == 1 && plan.generation == Generation(1))
        #expect(plan.holdReason == .severalVisibleChanges)
        #expect(attributeCalls == 0 && table.snapshot().privateRanges.isEmpty)
    }

    @Test("the generation is compared for attributes, too")
    func conflict() throws {
        var wanted = options([range(1, 1)])
        wanted.expectedGeneration = Generation(4)
        #expect(table.refusal(of: [], options: wanted)?.kind == "generation-conflict")
    }

    @Test("every fault of a list is named, before any effect")
    func faults() throws {
        func kinds(_ ranges: [GuestRange]) -> [String] {
            guard case .invalid(let array) = table.refusal(of: [], options: options(ranges)) else {
                return []
            }
            #expect(array.count == array.violations.count)
            return array.violations.map { "\($0.path) \($0.kind.rawValue)" }
        }
        func bytes(_ address: UInt64, _ size: UInt64) -> [GuestRange] {
            [GuestRange(address: GuestPhysicalAddress(address), size: ByteCount(size))]
        }
        #expect(
            kinds(bytes(1, 4096)) == ["attributes[0].guestPhysicalAddress misaligned-address"])
        #expect(kinds(bytes(0, 4097)) == ["attributes[0].size misaligned-size"])
        #expect(kinds(bytes(0, 0)) == ["attributes[0].size zero-size"])
        #expect(
            kinds(bytes(0xffff_ffff_ffff_f000, 4096))
                == ["attributes[0].guestPhysicalAddress address-overflow"])
        #expect(
            kinds([range(0xffff, 2)])
                == ["attributes[0].guestPhysicalAddress address-too-large"])
        #expect(kinds([range(0xffff, 1)]).isEmpty)
        #expect(
            kinds([range(4, 2), range(6, 1), range(3, 2)])
                == ["attributes[2].guestPhysicalAddress overlap"])
        // With those of the slots.
        guard
            case .invalid(let array) = table.refusal(
                of: [slot(0, at: 0, pages: 0)], options: options([range(0, 0)]))
        else { return #expect(Bool(false)) }
        #expect(array.violations.map(\.path) == ["slots[0].size", "attributes[0].size"])
        #expect(array.violations[1].message.hasSuffix("; leave a range out to remove it"))
        #expect(array.violations[1].slot == nil && array.violations[1].errno == .invalidArgument)
    }

    @Test("a backend without memory attributes accepts the empty list alone")
    func refused() throws {
        let other = try MemslotTable(backend: ModelBackend())
        #expect(!other.capabilities.memoryAttributes)
        #expect(other.refusal(of: [slot(0, at: 0)], options: options([])) == nil)
        let error = other.refusal(of: [], options: options([range(0, 1)]))
        #expect(error?.kind == "unsupported-flag")
        if case .invalid(let array) = error { #expect(array.violations[0].errno == nil) }
        #expect(error?.message.contains("KVM_CAP_MEMORY_ATTRIBUTES") == true)
        #expect(other.snapshot().array.count == 1)
    }

    @Test("a hook gets the changes of slots, and no transaction without one")
    func hooks() throws {
        final class Whole: TransactionHook, ReportingHook {
            let name = "whole"
            let seen = Shared<[Int]>([])
            func begin(with snapshot: TableSnapshot) throws(HookVeto) {}
            func prepare(_ changes: TransactionChanges) throws(HookVeto) {
                seen.update { $0.append(changes.changes.count) }
            }
            func commit(_ changes: TransactionChanges) {}
            func finish(_ changes: TransactionChanges) {}
            func abort(_ changes: TransactionChanges) {}
            func dirtyPages() -> [DirtyPages] { [] }
            func report() -> ObserverReport { ObserverReport(observer: name, state: "attached") }
        }
        let hook = Whole()
        try table.add(hook)
        let alone = try table.submit([], options: options([range(1, 1)]))
        #expect(alone.observers.isEmpty && hook.seen.value.isEmpty)
        let both = try table.submit([slot(0, at: 0)], options: options([range(2, 1)]))
        #expect(both.observers.count == 1 && hook.seen.value == [1])
    }

    @Test(
        "a call that fails is undone with all before it, in reverse",
        arguments: SubmitOptions.Quiesce.allCases)
    func undo(quiesce: SubmitOptions.Quiesce) throws {
        let old = [slot(0, at: 0, pages: 4), slot(1, at: 10), slot(3, at: 30)]
        // With continuity slot 2 is the head, and slot 3 the tail.
        let new = [slot(0, at: 2, pages: 4), slot(2, at: 20)]
        let (before, after) = ([range(0, 2), range(8, 1)], [range(1, 3), range(40, 2)])
        try table.submit(old, options: options(before))
        let plan = try table.plan(new, options: options(after, quiesce))
        let operations = plan.operations.count
        let calls = operations + plan.attributes.count
        #expect(plan.attributes.count == 4)
        for failing in 0..<calls {
            backend.refuse(at: failing)
            let present = table.snapshot()
            guard
                case .rolledBack(let rollback) = table.refusal(
                    of: new, options: options(after, quiesce))
            else { return #expect(Bool(false), "\(failing)") }
            #expect((rollback.operation == nil) == (rollback.attribute != nil))
            if let attribute = rollback.attribute {
                #expect(plan.attributes.contains(attribute) && rollback.call == nil)
                #expect(rollback.message.contains("KVM_SET_MEMORY_ATTRIBUTES (\(attribute))"))
                #expect(rollback.message.contains("ENOMEM"))
            } else if let operation = rollback.operation {
                #expect(rollback.call == plan.operations[operation].call)
            }
            #expect(backend.slots == present.array.slots && privatePages == pages(before))
            #expect(table.snapshot().generation == present.generation)
            #expect(table.snapshot().privateRanges == before)
        }
        backend.refuse()
        try table.submit(new, options: options(after, quiesce))
        #expect(privatePages == pages(after) && backend.illegal.isEmpty)
    }

    @Test("an undo that fails at any call fails the table, and a recovery sets all right")
    func recovery() throws {
        let old = [slot(0, at: 0, pages: 4), slot(1, at: 10)]
        let new = [slot(0, at: 2, pages: 4), slot(2, at: 20)]
        let (before, after) = ([range(0, 2), range(8, 1)], [range(1, 3), range(40, 2)])
        try table.submit(old, options: options(before))
        let plan = try table.plan(new, options: options(after))
        let operations = plan.operations.count
        for last in 1..<operations + plan.attributes.count {
            for back in 1...last {
                backend.refuse(at: last, last + back)
                guard case .failed(let failure) = table.refusal(of: new, options: options(after))
                else { return #expect(Bool(false), "\(last) \(back)") }
                // Applied until `last`, and undone before `back`.
                let left = max(last - (back - 1) - operations, 0)
                #expect(failure.attributes == Array(plan.attributes.prefix(left)))
                var ranges = GuestRangeSet(before)
                ranges.apply(failure.attributes)
                #expect(privatePages == pages(ranges.ranges))
                #expect(backend.slots == failure.installed)
                let first = last < operations ? nil : plan.attributes[last - operations]
                #expect(failure.attribute == first && (first == nil || failure.operation == nil))
                let call =
                    first.map { "KVM_SET_MEMORY_ATTRIBUTES (\($0)) failed" } ?? "a call failed"
                #expect(failure.message.contains(call))
                // A recovery that fails at each of its calls.
                for call in 0..<6 {
                    backend.refuse(at: call)
                    guard (try? table.recover()) == nil, let still = table.failure else { break }
                    ranges = GuestRangeSet(before)
                    ranges.apply(still.attributes)
                    #expect(privatePages == pages(ranges.ranges), "\(last) \(back) \(call)")
                    #expect(backend.slots == still.installed && still.attribute == first)
                }
                backend.refuse()
                try table.recover()
                #expect(privatePages == pages(before) && backend.slots == old)
                #expect(table.snapshot().privateRanges == before && table.failure == nil)
            }
        }
        #expect(backend.illegal.isEmpty)
    }

    @Test("a table that adopts private ranges leaves them private when its first submit fails")
    func adopted() throws {
        backend.state.withLock { $0.privatePages = [2, 3] }
        let table = try MemslotTable(backend: backend, privateRanges: [range(3, 1), range(2, 1)])
        #expect(table.snapshot().privateRanges == [range(2, 2)])
        backend.refuse(at: 1)
        let error = table.refusal(of: [], options: options([range(2, 4), range(8, 1)]))
        #expect(error?.kind == "rolled-back" && privatePages == [2, 3])
        backend.refuse()
        try table.submit([], options: options([]))
        #expect(privatePages.isEmpty)
        #expect(throws: InvalidArray.self) {
            try MemslotTable(backend: backend, privateRanges: [range(1, 2), range(2, 1)])
        }
        #expect(throws: InvalidArray.self) {
            try MemslotTable(backend: ModelBackend(), privateRanges: [range(1, 1)])
        }
    }

    @Test("with continuity all is inside the hold if attributes change")
    func continuity() throws {
        final class Hold: VCPUHold {
            let isHeld = Shared(false)
            func beginHolding() {}
            func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
            func exclusively(_ body: () -> Void) {
                isHeld.update { $0 = true }
                body()
                isHeld.update { $0 = false }
            }
            func endHolding() {}
        }
        let hold = Hold()
        let table = try MemslotTable(backend: backend, vcpus: hold)
        let (model, log) = (backend, Shared<[String]>([]))
        let old = [slot(0, at: 0, pages: 2, host: 0x500), slot(3, at: 30)]
        let new = [slot(1, at: 0, pages: 1, host: 0x500), slot(2, at: 20)]
        try table.submit(old)
        backend.state.withLock {
            $0.beforeCall = { [weak model] _ in
                let attributes = model?.state.withLock { $0.attributeCalls } ?? 0
                log.update { $0.append("\(hold.isHeld.value ? "held" : "free") \(attributes)") }
            }
        }
        let plain = try table.plan(new, options: options(nil, .auto))
        let receipt = try table.submit(new, options: options([range(0, 1)], .continuity))
        #expect(receipt.operations == plain.operations && receipt.holdReason == .overlap)
        // Nothing lies beside the hold: an attribute changes the host's page of what both arrays map.
        #expect(log.value == ["held 0", "held 0", "held 0", "held 0", "held 0"])
        // A plan that needs no hold gets one, without a head or a tail.
        let added = try table.submit(
            new + [slot(5, at: 50)], options: options([range(7, 1)], .continuity))
        #expect(added.holdReason == .severalVisibleChanges)
        #expect(log.value.suffix(3) == ["held 1", "held 1", "held 2"])
    }
}
