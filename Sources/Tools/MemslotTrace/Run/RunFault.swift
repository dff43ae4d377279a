import CRunRecord
import MemslotScenario
import Memslots

/// A part of a process's user memory at one moment, or what a call left of it.
struct UserMapping: Hashable {
    var range: Range<UInt64>
    /// `CRUN_READABLE` and so on.
    var access: UInt32

    /// Why KVM can't use it for a slot: a sentence; `nil` if it can, or if the slot is elsewhere.
    func fault(under slot: Memslot) -> String? {
        guard range.overlaps(slot.userRange), !slot.flags.contains(.guestMemfd),
            let reason = reason(slot.flags)
        else { return nil }
        let user = range.clamped(to: slot.userRange)
        let start =
            slot.guestPhysicalAddress.rawValue &+ user.lowerBound &- slot.userRange.lowerBound
        return "user memory \(hex(user)), behind \(hex(start..<start &+ UInt64(user.count))) of "
            + "slot \(slot.assignedKey), \(reason)"
    }

    private func reason(_ flags: MemslotFlags) -> String? {
        if access == CRUN_UNMAPPED { return "is not mapped" }
        if access & CRUN_BEYOND != 0 { return "lies past the end of its file" }
        if access & CRUN_DEVICE != 0 { return "is a device's, which may have no page structure" }
        if access & CRUN_READABLE == 0 { return "is protected from reading" }
        if access & CRUN_WRITABLE != 0 || flags.contains(.readOnly) { return nil }
        return "is protected from writing, and the slot is not read-only"
    }
}

extension Memslot {
    fileprivate var userRange: Range<UInt64> {
        let start = userspaceAddress.rawValue
        return start..<start.addingSaturated(size.rawValue)
    }
}

struct RunFault: Hashable {
    /// The line of the log, or the number of the record.
    var line: Int
    var thread = ThreadID.unnumbered
    var time: TraceTime?
    /// The VM, an index into the log's VMs; `nil` if the log does not show it.
    var machine: Int?
    var address: UInt64?
    /// The process's mappings at that moment, ascending; `nil` where nobody read them.
    var mappings: [UserMapping]?
    var text: String?

    /// What the mappings show of the user memory under `slots`; `nil` where nobody read them.
    func shown(under slots: [Memslot]) -> [String]? {
        guard let mappings, !mappings.isEmpty else { return nil }
        let faulty = unreachable(under: slots)
        var shown = faulty.prefix(8).map { $0 + "." }
        if faulty.count > 8 { shown.append("So are \(faulty.count - 8) more ranges.") }
        if faulty.isEmpty {
            shown = [
                "all user memory behind the slots is mapped and accessible: a page of it is "
                    + "poisoned, or guest_memfd memory was accessed as it is not shared."
            ]
        }
        return (address.map { ["KVM names \(hex($0))."] } ?? []) + shown
    }

    /// What of the user memory under `slots` KVM can't reach, a sentence for each range.
    private func unreachable(under slots: [Memslot]) -> [String] {
        var pieces: [UserMapping] = []
        var next: UInt64 = 0
        func add(_ range: Range<UInt64>, _ access: UInt32) {
            if let last = pieces.last, last.access == access,
                last.range.upperBound == range.lowerBound
            {
                pieces[pieces.count - 1].range = last.range.lowerBound..<range.upperBound
            } else if !range.isEmpty {
                pieces.append(UserMapping(range: range, access: access))
            }
        }
        for mapping in mappings ?? [] where mapping.range.lowerBound >= next {
            add(next..<mapping.range.lowerBound, CRUN_UNMAPPED)
            add(mapping.range, mapping.access)
            next = mapping.range.upperBound
        }
        add(next..<UInt64.max, CRUN_UNMAPPED)
        return slots.flatMap { slot in pieces.compactMap { $0.fault(under: slot) } }
    }
}

extension MemoryChange {
    /// What it does to a slot that exists; `nil` for a slot that it leaves usable.
    func finding(under slot: Memslot) -> Finding? {
        left.fault(under: slot).map {
            Finding(
                .userMemory, .error,
                (line > 0 ? "line \(line), " : "") + "\(call): \($0), while the slot exists",
                addressSpace: slot.addressSpace, range: slot.range.start..<slot.range.end)
        }
    }
}
