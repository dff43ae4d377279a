package import Memslots

/// What QEMU's `info mtree -f` says that its slots are meant to be.
package struct FlatViewText: Hashable, Sendable {
    /// A range of memory of the guest's system address space.
    package struct Row: Hashable, Sendable {
        /// The first byte and the one past the last, whole pages.
        package var range: Range<UInt64>
        /// `ram`, `rom`, `romd`, `nv-ram`.
        package var kind: String
        /// The region's name.
        package var name: String
        /// Whether the guest's writes are to leave the memory alone.
        package var isReadOnly: Bool { kind.hasPrefix("rom") }
    }

    /// The memory, ascending. What is no memory is left out.
    package private(set) var rows: [Row] = []

    /// Reads the text; lines that aren't of the view are passed over.
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

    /// Where the slots of address space 0 aren't what the view means, a sentence each.
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
                        "\(place): slot \(slot.key) is "
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
                "slot \(slot.key) at \(hex(slot.range.start..<slot.range.end)): "
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

/// `0xc0000-0xdffff`.
func hex(_ range: Range<UInt64>) -> String {
    "0x\(String(range.lowerBound, radix: 16))-0x\(String(range.upperBound - 1, radix: 16))"
}
