import MemslotScenario
package import Memslots

/// Possible improvements of an array of slots.
package struct SlotFindings: Hashable, Sendable {
    /// Two slots that could be one: adjacent for the guest and in user memory, with equal flags.
    package struct Split: Hashable, Sendable {
        /// The slot at the lower address.
        package var lower: Memslot
        /// The slot that begins at its end.
        package var upper: Memslot
    }

    /// The pairs that could be one slot, ascending.
    package private(set) var splits: [Split] = []
    /// Slots of at least a huge page that huge pages can't back: the low 21 bits of the guest
    /// address and of the user address differ.
    package private(set) var misaligned: [Memslot] = []

    /// 2 MiB.
    private static let hugePage: UInt64 = 1 << 21

    package init(_ slots: [Memslot]) {
        let slots = slots.sorted {
            ($0.addressSpace, $0.guestPhysicalAddress) < ($1.addressSpace, $1.guestPhysicalAddress)
        }
        for (lower, upper) in zip(slots, slots.dropFirst()) where lower.continues(upper) {
            splits.append(Split(lower: lower, upper: upper))
        }
        misaligned = slots.filter {
            let difference = $0.guestPhysicalAddress.rawValue ^ $0.userspaceAddress.rawValue
            return $0.size.rawValue >= Self.hugePage && difference % Self.hugePage != 0
        }
    }

    package var sentences: [String] {
        splits.map {
            "slots \($0.lower.assignedKey) and \($0.upper.assignedKey) are adjacent and equal, and could be one: "
                + hex($0.lower.range.start..<$0.upper.range.end)
        }
            + misaligned.map {
                "slot \($0.assignedKey) at \(hex($0.range.start..<$0.range.end)) can't be backed by huge "
                    + "pages: the low 21 bits of its user address, "
                    + "0x\(String($0.userspaceAddress.rawValue, radix: 16)), differ"
            }
    }
}

extension Memslot {
    fileprivate func continues(_ upper: Memslot) -> Bool {
        addressSpace == upper.addressSpace && flags == upper.flags
            && !flags.contains(.guestMemfd) && range.end == upper.range.start
            && userspaceAddress.advanced(by: size) == upper.userspaceAddress
            && pageCount + upper.pageCount < 1 << 31
    }
}

/// The intended slots, from QEMU's `info mtree -f`.
package struct FlatViewText: Hashable, Sendable {
    /// A range of memory of the guest's system address space.
    package struct Row: Hashable, Sendable {
        /// The first byte and the one past the last, whole pages.
        package var range: Range<UInt64>
        /// `ram`, `rom`, `romd`, `nv-ram`.
        package var kind: String
        package var name: String
        package var isReadOnly: Bool { kind.hasPrefix("rom") }
    }

    /// The memory ranges, ascending.
    package private(set) var rows: [Row] = []

    /// Reads the text; ignores lines outside the view.
    package init(_ text: String) {
        var isMemory = false
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("FlatView") { isMemory = false }
            if line.contains("AS \"memory\"") { isMemory = true }
            if isMemory, let row = Self.row(line) { rows.append(row) }
        }
    }

    /// `  0000000000000000-00000000000bffff (prio 0, ram): pc.ram @0000000000100000 KVM`
    private static func row(_ line: Substring) -> Row? {
        let line = line.drop(while: { $0 == " " })
        let parts = line.split(separator: " ", maxSplits: 4)
        guard parts.count == 5, parts[1] == "(prio", parts[3].hasSuffix("):") else { return nil }
        let ends = parts[0].split(separator: "-")
        let kind = String(parts[3].dropLast(2))
        guard ends.count == 2, ["ram", "rom", "romd", "nv-ram"].contains(kind),
            let first = UInt64(ends[0], radix: 16), let last = UInt64(ends[1], radix: 16),
            first <= last, last < .max
        else { return nil }
        let page = pageSize.rawValue
        let begin = (first &+ page &- 1) / page * page
        let end = (last + 1) / page * page
        guard begin < end else { return nil }
        let name = parts[4].split(separator: " ").filter { $0 != "KVM" && !$0.hasPrefix("@") }
        return Row(range: begin..<end, kind: kind, name: name.joined(separator: " "))
    }

    /// The differences between the slots of address space 0 and the view, a sentence each.
    package func differences(from slots: [Memslot]) -> [String] {
        var sentences: [String] = []
        let slots = slots.filter { $0.addressSpace == .main }
            .sorted { $0.guestPhysicalAddress < $1.guestPhysicalAddress }
        for row in rows {
            var address = row.range.lowerBound
            let place = "\(hex(row.range)) (\(row.kind) \(row.name))"
            for slot in slots where slot.range.start < row.range.upperBound {
                guard slot.range.end > address else { continue }
                if slot.range.start > address {
                    sentences.append("\(place): no slot at \(hex(address..<slot.range.start))")
                }
                if slot.flags.contains(.readOnly) != row.isReadOnly {
                    sentences.append(
                        "\(place): slot \(slot.assignedKey) is "
                            + (row.isReadOnly ? "writable" : "read-only"))
                }
                address = slot.range.end
            }
            if address < row.range.upperBound {
                sentences.append("\(place): no slot at \(hex(address..<row.range.upperBound))")
            }
        }
        for slot in slots where !isCovered(slot.range.start..<slot.range.end) {
            sentences.append(
                "slot \(slot.assignedKey) at \(hex(slot.range.start..<slot.range.end)): "
                    + "the view has no memory there")
        }
        return sentences
    }

    private func isCovered(_ range: Range<UInt64>) -> Bool {
        var address = range.lowerBound
        for row in rows where row.range.contains(address) {
            address = row.range.upperBound
            if address >= range.upperBound { return true }
        }
        return false
    }
}
