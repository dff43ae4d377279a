import Memslots

@testable import MemslotLab

/// What a vCPU may get from guest memory while slot calls are made beside it: KVM's steps, and the
/// set of answers to every access at every point between them. Independent of the engine.
///
/// Kernel: `kvm_invalidate_memslot`, `kvm_delete_memslot`, `kvm_move_memslot` in virt/kvm/kvm_main.c
/// and `kvm_faultin_pfn` in arch/x86/kvm/mmu/mmu.c.
struct GuestView {
    /// Who reads the guest's page: the processor by its own tables, or KVM by the slots, as for an
    /// emulated instruction.
    enum Access: CaseIterable { case direct, indirect }

    /// What an access to a guest page gets.
    enum Answer: Hashable {
        case absent
        case memory(host: UInt64, isReadOnly: Bool)
    }

    /// The answers that a vCPU may get at one point, by page. Empty where KVM retries the access.
    struct Point {
        var direct: [[Set<Answer>]] = []
        var indirect: [Answer] = []
    }

    private struct Placed {
        var slot: Memslot
        var isInvalid = false
    }

    static let vcpus = 2
    let pages: UInt64
    /// Whether KVM retries a page fault on a slot that is being deleted or moved, as on x86-64.
    let retries: Bool
    private var slots: [Placed]
    /// What the vCPU's own page tables may have, by vCPU and page: any page that it has touched.
    private var mapped: [[Set<Answer>]]
    private(set) var points: [Point] = []
    /// Whether a write may be recorded in a log after the log was harvested and before it ends.
    private(set) var losesWrites = false

    init(_ array: [Memslot], pages: UInt64, retries: Bool) {
        self.pages = pages
        self.retries = retries
        slots = array.map { Placed(slot: $0) }
        mapped = Array(
            repeating: Array(repeating: [], count: Int(pages)), count: Self.vcpus)
        observe()
    }

    /// Lets both vCPUs make every access, directly and indirectly.
    mutating func observe() {
        var point = Point()
        for page in 0..<Int(pages) {
            let slot = slots.first { SmallKernel.pages(of: $0.slot).contains(UInt64(page)) }
            let valid = slot.flatMap { $0.isInvalid ? nil : Self.answer(page, $0.slot) }
            point.indirect.append(valid ?? .absent)
            for vcpu in 0..<Self.vcpus {
                if let valid { mapped[vcpu][page].insert(valid) }
                var answers = mapped[vcpu][page]
                // A fault that finds the slot invalid gets no answer where KVM retries it.
                if valid == nil, slot == nil || !retries { answers.insert(.absent) }
                if page == 0 { point.direct.append([]) }
                point.direct[vcpu].append(answers)
            }
        }
        points.append(point)
    }

    /// Makes a call beside the vCPUs, step by step.
    ///
    /// - Parameter fails: whether it fails. A move may fail after the guest has seen its slot vanish.
    mutating func apply(_ call: SlotCall, fails: Bool = false) {
        // Logs are read before the first call: what is written from then on is lost with the log.
        if call.endsLogging { losesWrites = true }
        switch call {
        case .create(let slot):
            if !fails { slots.append(Placed(slot: slot)) }
            observe()
        case .reflag(let from, let to):
            if !fails { replace(from, by: to) }
            observe()
        case .delete(let slot):
            if fails { return }
            invalidate(slot)
            slots.removeAll { $0.slot == slot }
            observe()
        case .move(let from, let to):
            // A running vCPU may flush its log buffer after the slot has left.
            if from.isLogging { losesWrites = true }
            invalidate(from)
            replace(from, by: fails ? from : to)
            observe()
        }
    }

    /// The first publication, and then each vCPU loses what its page tables have of the slot. By
    /// default that is all of its pages: `KVM_X86_QUIRK_SLOT_ZAP_ALL`. Less hides nothing here.
    private mutating func invalidate(_ slot: Memslot) {
        for index in slots.indices where slots[index].slot == slot { slots[index].isInvalid = true }
        observe()
        for vcpu in 0..<Self.vcpus {
            mapped[vcpu] = Array(repeating: [], count: Int(pages))
            observe()
        }
    }

    /// With vCPUs held: makes calls that none of them sees happen.
    mutating func applyHeld(_ calls: some Collection<SlotCall>) {
        var present = Dictionary(uniqueKeysWithValues: slots.map { ($0.slot.assignedKey, $0.slot) })
        for call in calls { present[call.key] = call.after }
        set(Array(present.values))
    }

    private mutating func replace(_ from: Memslot, by to: Memslot) {
        for index in slots.indices where slots[index].slot == from {
            slots[index] = Placed(slot: to)
        }
    }

    /// With vCPUs held: the slots become `array`, and every vCPU's page tables are empty.
    mutating func set(_ array: [Memslot]) {
        slots = array.map { Placed(slot: $0) }
        mapped = Array(
            repeating: Array(repeating: [], count: Int(pages)), count: Self.vcpus)
        observe()
    }

    /// The answer of an array to an access to `page`.
    static func answer(_ page: Int, in array: [Memslot]) -> Answer {
        let slot = array.first { SmallKernel.pages(of: $0).contains(UInt64(page)) }
        return slot.map { answer(page, $0) } ?? .absent
    }

    private static func answer(_ page: Int, _ slot: Memslot) -> Answer {
        let offset = UInt64(page) - SmallKernel.pages(of: slot).lowerBound
        return .memory(
            host: slot.userspaceAddress.rawValue >> 12 + offset,
            isReadOnly: slot.flags.contains(.readOnly))
    }
}

extension GuestView {
    /// Returns what a vCPU may observe and must not, by the promise of `auto`; `nil` if nothing.
    ///
    /// An access must be answered by the old array or the new one. If one is answered by the new
    /// array alone, no later one may be answered by the old array alone, on any vCPU. Two exceptions:
    /// additions may appear one by one, and an access that KVM makes itself may see memory absent
    /// before the processors' own accesses do.
    func forbiddenBySnapshot(from old: [Memslot], to new: [Memslot]) -> String? {
        var (sawNew, sawAddition) = ([Access.direct: false, .indirect: false], false)
        for point in points {
            // Accesses at one point are made in any order: first what any of them gets that is new.
            for page in 0..<Int(pages) {
                let before = Self.answer(page, in: old)
                let after = Self.answer(page, in: new)
                for (access, answers) in answers(to: page, at: point) {
                    for answer in answers where answer != before {
                        if answer != after { return "page \(page): \(answer), \(access)" }
                        if before == .absent {
                            sawAddition = true
                        } else {
                            sawNew[access] = true
                            // Only absence may be seen early.
                            if answer != .absent { sawNew[.direct] = true }
                        }
                    }
                }
            }
            for page in 0..<Int(pages) {
                let before = Self.answer(page, in: old)
                let after = Self.answer(page, in: new)
                guard before != after else { continue }
                for (access, answers) in answers(to: page, at: point) where answers.contains(before)
                {
                    // What was seen before may be an addition only if this is one.
                    let isLate =
                        sawNew[access] == true || access == .indirect && sawNew[.direct] == true
                        || sawAddition && before != .absent
                    if isLate { return "page \(page): old after new, \(access)" }
                }
            }
        }
        return losesWrites ? "a log ends beside its writers" : nil
    }

    /// Returns what a vCPU may observe and must not, by the promise of continuity; `nil` if nothing: a
    /// page that both arrays map is never absent, and what it has is of one of both.
    func forbiddenByContinuity(from old: [Memslot], to new: [Memslot]) -> String? {
        for page in 0..<Int(pages) {
            let allowed = [Self.answer(page, in: old), Self.answer(page, in: new)]
            if allowed.contains(.absent) { continue }
            for point in points {
                for (access, answers) in answers(to: page, at: point)
                where !answers.isSubset(of: allowed) {
                    return "page \(page): \(answers), \(access)"
                }
            }
        }
        return losesWrites ? "a log ends beside its writers" : nil
    }

    private func answers(to page: Int, at point: Point) -> [(Access, Set<Answer>)] {
        point.direct.map { (.direct, $0[page]) } + [(.indirect, [point.indirect[page]])]
    }
}
