package import MemslotProtocol
package import Memslots

/// The memory that QEMU means to have, from the text of its `info mtree -f`.
package struct FlatViewText: Hashable, Sendable {
    package struct Row: Hashable, Sendable {
        /// 0, or 1 for the view of system management mode.
        package var addressSpace = AddressSpaceID.main
        /// The first byte and the one past the last, whole pages.
        package var range: Range<UInt64>
        /// `ram`, `ramd`, `rom`, `romd`, or one of them after `nv-`.
        package var kind: String
        package var name: String
        package var offset: UInt64
        package var line: Int
        package var isInKVM = false
        package var isReadOnly: Bool { kind.hasSuffix("rom") || kind.hasSuffix("romd") }
    }

    package private(set) var rows: [Row] = []
    /// Whether the text is a tree whose regions overlap, the output of `info mtree` without `-f`.
    package private(set) var isTree = false

    package static let advice =
        "this is a tree, in which regions hide each other; use the output of 'info mtree -f'"

    package static func isText(_ bytes: [UInt8]) -> Bool {
        let head = String(decoding: bytes.prefix(1 << 16), as: UTF8.self)
        return head.contains("(prio ")
            && (head.contains("FlatView #") || head.contains("address-space"))
    }

    /// Reads the text; ignores lines outside the views.
    package init(_ text: String) {
        var space: AddressSpaceID?
        var hasView = false
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        for (index, line) in lines.enumerated() {
            if line.hasPrefix("FlatView") { (space, hasView) = (nil, true) }
            if line.contains("AS \"memory\"") { space = .main }
            if line.contains("AS \"KVM-SMRAM\""), space == nil { space = AddressSpaceID(1) }
            guard let row = Self.row(line, index + 1) else { continue }
            if !hasView { isTree = true }
            guard let space else { continue }
            rows.append(row)
            rows[rows.count - 1].addressSpace = space
        }
        // Memory that KVM does not have, such as a device's that traps.
        if rows.contains(where: \.isInKVM) { rows.removeAll { !$0.isInKVM } }
        rows.sort {
            ($0.addressSpace, $0.range.lowerBound) < ($1.addressSpace, $1.range.lowerBound)
        }
    }

    /// `  0000000000000000-00000000000bffff (prio 0, ram): pc.ram @0000000000100000 KVM`
    private static func row(_ line: Substring, _ number: Int) -> Row? {
        let line = line.drop(while: { $0 == " " || $0 == "\t" })
        let parts = line.split(separator: " ", maxSplits: 4)
        guard parts.count == 5, parts[1] == "(prio", parts[3].hasSuffix("):") else { return nil }
        let ends = parts[0].split(separator: "-")
        let kind = String(parts[3].dropLast(2))
        guard ends.count == 2,
            kinds.contains(kind.hasPrefix("nv-") ? String(kind.dropFirst(3)) : kind),
            let first = UInt64(ends[0], radix: 16), let last = UInt64(ends[1], radix: 16),
            first <= last, last < .max
        else { return nil }
        let page = pageSize.rawValue
        let begin = first.addingSaturated(page - 1) / page * page
        let end = (last + 1) / page * page
        guard begin < end else { return nil }
        // `mtree -o` prints the owner last.
        var words = parts[4].split(separator: " ")
            .prefix { !$0.hasPrefix("owner:{") && !$0.hasPrefix("parent:{") }
        var row = Row(range: begin..<end, kind: kind, name: "", offset: 0, line: number)
        if words.last == "KVM" {
            row.isInKVM = true
            words.removeLast()
        }
        if let word = words.last, word.hasPrefix("@"),
            let offset = UInt64(word.dropFirst(), radix: 16)
        {
            row.offset = offset
            words.removeLast()
        }
        row.offset = row.offset.addingSaturated(begin - first)
        row.name = words.joined(separator: " ")
        return row
    }

    private static let kinds = ["ram", "ramd", "rom", "romd"]

    /// The ranges as an array without ids: memory is a region by its name.
    package var slots: [SlotParameters] {
        rows.map { row in
            var slot = SlotParameters()
            slot.addressSpace = UInt64(row.addressSpace.rawValue)
            slot.guestPhysicalAddress = GuestPhysicalAddress(row.range.lowerBound)
            slot.size = ByteCount(row.range.upperBound - row.range.lowerBound)
            slot.memory = row.name
            slot.memoryOffset = ByteCount(row.offset)
            if row.isReadOnly { slot.flags = .readOnly }
            return slot
        }
    }

    package func differences(from slots: [Memslot]) -> [Finding] {
        guard !isTree else { return [Finding(.missing, .warning, "not compared: " + Self.advice)] }
        let slots = slots.filter(\.isPossible).sortedByAddress()
        var findings: [Finding] = []
        func add(
            _ kind: Finding.Kind, _ text: String, _ space: AddressSpaceID, _ range: Range<UInt64>
        ) {
            guard !range.isEmpty else { return }
            let prefix = space == .main ? "" : "address space \(space): "
            findings.append(Finding(kind, .error, prefix + text, addressSpace: space, range: range))
        }
        let spaces = Set(rows.map(\.addressSpace))
        for row in rows {
            var address = row.range.lowerBound
            let place = "\(hex(row.range)) (\(row.kind) \(row.name))"
            func miss(until end: UInt64) {
                let gap = address..<max(address, end)
                add(.missing, "\(place): no slot at \(hex(gap))", row.addressSpace, gap)
            }
            for slot in slots
            where slot.addressSpace == row.addressSpace && slot.guestRange.overlaps(row.range) {
                let range = slot.guestRange
                miss(until: range.lowerBound)
                if slot.flags.contains(.readOnly) != row.isReadOnly {
                    add(
                        .readOnly,
                        "\(place): slot \(slot.assignedKey) is "
                            + (row.isReadOnly ? "writable" : "read-only"), row.addressSpace, range)
                }
                address = max(address, range.upperBound)
            }
            miss(until: row.range.upperBound)
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
