package import Memslots

/// A possible improvement of an array of slots, or a mistake in it.
package struct Finding: Hashable, Sendable, CustomStringConvertible {
    package enum Severity: String, Hashable, Sendable, Comparable {
        /// Memory is not as it should be.
        case error
        /// It can fail, or lose dirty pages.
        case warning
        /// It could be better.
        case hint

        private var rank: Int { self == .error ? 0 : self == .warning ? 1 : 2 }

        package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
    }

    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case sharedHostMemory = "shared-host-memory"
        case couldBeOne = "could-be-one"
        case slotCount = "slot-count"
        case hugePages = "huge-pages"
        case readOnly = "read-only"
        case missing, extra
    }

    package var kind: Kind
    package var severity: Severity
    package var text: String
    package var addressSpace = AddressSpaceID.main
    /// The guest memory; `nil` if it concerns the whole array.
    package var range: Range<UInt64>?

    package var description: String { "\(severity.rawValue): \(text)" }
}

/// The findings about one array, folded into ranges: the same list for every command.
package struct ArrayFindings: Hashable, Sendable {
    /// The most serious first; by address within one severity.
    package private(set) var all: [Finding] = []

    /// 2 MiB.
    private static let hugePage: UInt64 = 1 << 21
    /// The part of the limit from which the number of slots is reported, in percent.
    private static let crowded = 80

    /// - Parameters:
    ///   - slots: in any order, of ranges that do not wrap.
    ///   - maxSlots: the limit of each address space; `nil` if it is unknown.
    ///   - view: the intended memory, if it is known.
    package init(
        _ slots: [Memslot], maxSlots: UInt32? = nil, view: FlatViewText? = nil
    ) {
        let slots = slots.filter {
            $0.size != .zero && $0.guestPhysicalAddress.advanced(by: $0.size) != nil
        }
        .sorted {
            ($0.addressSpace, $0.guestPhysicalAddress) < ($1.addressSpace, $1.guestPhysicalAddress)
        }
        addShared(slots)
        addRuns(slots)
        addMisfits(slots)
        if let maxSlots { addCount(slots, maxSlots) }
        if let view { all += view.differences(from: slots) }
        all.sort {
            ($0.severity, $0.addressSpace, $0.range?.lowerBound ?? 0)
                < ($1.severity, $1.addressSpace, $1.range?.lowerBound ?? 0)
        }
    }

    /// Slots of one address space that map the same host memory. Neighbours are one finding.
    private mutating func addShared(_ slots: [Memslot]) {
        var pairs: [(first: Memslot, second: Memslot, host: Range<UInt64>)] = []
        for (_, group) in Dictionary(grouping: slots, by: HostGroup.init) {
            let ordered = group.sorted {
                ($0.hostStart, $0.guestPhysicalAddress) < ($1.hostStart, $1.guestPhysicalAddress)
            }
            var widest: Memslot?
            for slot in ordered {
                if let widest, widest.hostEnd > slot.hostStart {
                    pairs.append((widest, slot, slot.hostStart..<min(widest.hostEnd, slot.hostEnd)))
                }
                if slot.hostEnd > widest?.hostEnd ?? 0 { widest = slot }
            }
        }
        pairs.sort { $0.host.lowerBound < $1.host.lowerBound }
        for pair in pairs.prefix(Self.listed) {
            let names = [pair.first, pair.second].sorted { $0.assignedKey < $1.assignedKey }
            let isWritable = names.allSatisfy { !$0.flags.contains(.readOnly) }
            let host =
                pair.first.memory == nil
                ? "user memory \(hex(pair.host))"
                : "the same bytes \(hex(pair.host)) of one memory object"
            all.append(
                Finding(
                    kind: .sharedHostMemory, severity: isWritable ? .warning : .hint,
                    text: "slot \(names[0].assignedKey) at \(hex(names[0].guestRange)) and slot "
                        + "\(names[1].assignedKey) at \(hex(names[1].guestRange)) map \(host): "
                        + "the guest sees one page at two addresses"
                        + (isWritable
                            ? ", and a dirty log marks only the one that was written" : ""),
                    addressSpace: names[0].addressSpace, range: names[0].guestRange))
        }
        if pairs.count > Self.listed {
            all.append(
                Finding(
                    kind: .sharedHostMemory, severity: .warning,
                    text:
                        "\(pairs.count - Self.listed) more pairs of slots map the same host memory")
            )
        }
    }

    /// The most findings of one kind.
    private static let listed = 50

    private mutating func addRuns(_ slots: [Memslot]) {
        var run: [Memslot] = []
        func finding() -> Finding? {
            guard let first = run.first, let last = run.last, run.count > 1 else { return nil }
            let range = first.guestRange.lowerBound..<last.guestRange.upperBound
            let names =
                run.count == 2
                ? "slots \(first.assignedKey) and \(last.assignedKey)"
                : "\(run.count) slots, \(first.assignedKey) to \(last.assignedKey),"
            return Finding(
                kind: .couldBeOne, severity: .hint,
                text: "\(names) are adjacent and equal, and could be one: \(hex(range))",
                addressSpace: first.addressSpace, range: range)
        }
        for slot in slots {
            if let last = run.last, last.continues(slot) {
                run.append(slot)
            } else {
                if let finding = finding() { all.append(finding) }
                run = [slot]
            }
        }
        if let finding = finding() { all.append(finding) }
    }

    private mutating func addMisfits(_ slots: [Memslot]) {
        let misfits = slots.filter {
            let difference = $0.guestPhysicalAddress.rawValue ^ $0.userspaceAddress.rawValue
            return $0.memory == nil && $0.size.rawValue >= Self.hugePage
                && difference % Self.hugePage != 0
        }
        // Slots that continue each other have one reason.
        var rest = misfits[...]
        while let first = rest.popFirst() {
            var (last, count) = (first, 1)
            while let next = rest.first, next.addressSpace == first.addressSpace,
                last.guestRange.upperBound == next.guestRange.lowerBound
            {
                (last, count) = (next, count + 1)
                rest.removeFirst()
            }
            let range = first.guestRange.lowerBound..<last.guestRange.upperBound
            let names =
                count == 1
                ? "slot \(first.assignedKey)" : "\(count) slots from \(first.assignedKey) on"
            all.append(
                Finding(
                    kind: .hugePages, severity: .hint,
                    text:
                        "\(names) at \(hex(range)) can't be backed by huge pages: the low 21 bits "
                        + "of the user address, \(hex(first.userspaceAddress.rawValue)), differ",
                    addressSpace: first.addressSpace, range: range))
        }
    }

    private mutating func addCount(_ slots: [Memslot], _ limit: UInt32) {
        for (space, own) in Dictionary(grouping: slots, by: \.addressSpace) {
            guard own.count * 100 >= Int(limit) * Self.crowded else { continue }
            all.append(
                Finding(
                    kind: .slotCount, severity: own.count > limit ? .error : .warning,
                    text: "\(own.count) of \(limit) slots are used", addressSpace: space))
        }
    }
}

extension FlatViewText {
    /// The differences between the slots and the view.
    package func differences(from slots: [Memslot]) -> [Finding] {
        guard !isTree else {
            return [
                Finding(kind: .missing, severity: .warning, text: "not compared: " + Self.advice)
            ]
        }
        var findings: [Finding] = []
        func add(
            _ kind: Finding.Kind, _ text: String, _ space: AddressSpaceID, _ range: Range<UInt64>
        ) {
            findings.append(
                Finding(
                    kind: kind, severity: .error, text: text, addressSpace: space, range: range))
        }
        let spaces = Set(rows.map(\.addressSpace))
        for row in rows {
            var address = row.range.lowerBound
            let place = "\(hex(row.range)) (\(row.kind) \(row.name))"
            for slot in slots
            where slot.addressSpace == row.addressSpace && slot.guestRange.overlaps(row.range) {
                let range = slot.guestRange
                if range.lowerBound > address {
                    let gap = address..<range.lowerBound
                    add(.missing, "\(place): no slot at \(hex(gap))", row.addressSpace, gap)
                }
                if slot.flags.contains(.readOnly) != row.isReadOnly {
                    add(
                        .readOnly,
                        "\(place): slot \(slot.assignedKey) is "
                            + (row.isReadOnly ? "writable" : "read-only"), row.addressSpace, range)
                }
                address = max(address, range.upperBound)
            }
            if address < row.range.upperBound {
                let gap = address..<row.range.upperBound
                add(.missing, "\(place): no slot at \(hex(gap))", row.addressSpace, gap)
            }
        }
        for slot in slots where spaces.contains(slot.addressSpace) && !covers(slot) {
            add(
                .extra,
                "slot \(slot.assignedKey) at \(hex(slot.guestRange)): the view has no memory there",
                slot.addressSpace, slot.guestRange)
        }
        return findings
    }

    private func covers(_ slot: Memslot) -> Bool {
        var address = slot.guestRange.lowerBound
        for row in rows where row.addressSpace == slot.addressSpace && row.range.contains(address) {
            address = row.range.upperBound
            if address >= slot.guestRange.upperBound { return true }
        }
        return false
    }
}

/// What host addresses of two slots can be compared: one memory object, or user memory.
private struct HostGroup: Hashable {
    var addressSpace: AddressSpaceID
    var object: MemoryObjectID?

    init(_ slot: Memslot) {
        addressSpace = slot.addressSpace
        object = slot.memory?.object
    }
}

extension Memslot {
    fileprivate var guestRange: Range<UInt64> {
        guestPhysicalAddress.rawValue..<guestPhysicalEnd.rawValue
    }

    fileprivate var hostStart: UInt64 { memory?.offset.rawValue ?? userspaceAddress.rawValue }
    fileprivate var hostEnd: UInt64 { hostStart.addingSaturated(size.rawValue) }

    fileprivate func continues(_ upper: Memslot) -> Bool {
        addressSpace == upper.addressSpace && flags == upper.flags
            && !flags.contains(.guestMemfd) && guestPhysicalEnd == upper.guestPhysicalAddress
            && memory?.object == upper.memory?.object && hostEnd == upper.hostStart
            && pageCount + upper.pageCount < 1 << 31
    }
}
