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
        case userMemory = "user-memory"
        case earlyTable = "early-table"
        case missing, extra
        case refused
    }

    package var kind: Kind
    package var severity: Severity
    package var text: String
    package var addressSpace: AddressSpaceID
    /// The guest memory; `nil` if it concerns the whole array.
    package var range: Range<UInt64>?

    package init(
        _ kind: Kind, _ severity: Severity, _ text: String,
        addressSpace: AddressSpaceID = .main, range: Range<UInt64>? = nil
    ) {
        (self.kind, self.severity, self.text) = (kind, severity, text)
        (self.addressSpace, self.range) = (addressSpace, range)
    }

    package var description: String { "\(severity.rawValue): \(text)" }
}

/// The findings about one array, folded into ranges: the same list for every command, and for the
/// `warnings` of a receipt.
///
/// A few passes at the speed of memory, because a service makes it for every submit: text is made
/// for what is found alone.
package struct ArrayFindings: Hashable, Sendable {
    /// The most serious first, by address within one severity; then how many more there are.
    package private(set) var all: [Finding] = []
    /// How many there are of each kind, listed or not.
    private var counts: [Finding.Kind: Int] = [:]

    /// The user addresses of an array.
    package enum UserAddresses: Sendable {
        /// Those of slots without a memory object are real.
        case ofPlainSlots
        /// All are real.
        case real
        /// All are real, and may not be shown.
        case hidden
    }

    /// 2 MiB.
    private static let hugePage: UInt64 = 1 << 21
    /// The part of the limit from which the number of slots is reported, in percent.
    private static let crowded = 80
    /// The most findings of one kind that are listed.
    private static let listed = 50

    /// - Parameters:
    ///   - slots: in any order, of ranges that may wrap.
    ///   - maxSlots: the limit of each address space; `nil` if it is unknown.
    ///   - addresses: which user addresses are real, and may be shown.
    ///   - more: findings that need to know more than the array.
    package init(
        _ slots: [Memslot], maxSlots: UInt32? = nil, addresses: UserAddresses = .ofPlainSlots,
        more: [Finding] = []
    ) {
        let slots = (slots.allSatisfy(\.isPossible) ? slots : slots.filter(\.isPossible))
            .sortedByAddress()
        addShared(slots, addresses)
        addRuns(slots)
        addMisfits(slots, addresses)
        if let maxSlots { addCount(slots, maxSlots) }
        for finding in more { add(finding, of: finding.kind) }
        finish()
    }

    /// The findings about single slots that were added or moved.
    init(about slots: [Memslot]) {
        addMisfits(slots, .hidden)
        finish()
    }

    private mutating func add(_ finding: @autoclosure () -> Finding, of kind: Finding.Kind) {
        counts[kind, default: 0] += 1
        if counts[kind, default: 0] <= Self.listed { all.append(finding()) }
    }

    private mutating func finish() {
        all.sort {
            ($0.severity, $0.addressSpace, $0.range?.lowerBound ?? 0)
                < ($1.severity, $1.addressSpace, $1.range?.lowerBound ?? 0)
        }
        for kind in Finding.Kind.allCases {
            let rest = counts[kind, default: 0] - Self.listed
            guard rest > 0, let like = all.first(where: { $0.kind == kind }) else { continue }
            all.append(Finding(kind, like.severity, "\(rest) more findings \"\(kind.rawValue)\""))
        }
    }

    /// Slots of one address space that map the same host memory.
    private mutating func addShared(_ slots: [Memslot], _ addresses: UserAddresses) {
        var reach: Memslot?
        for slot in slots.sortedByHost() {
            guard let widest = reach, widest.hostOrdinal == slot.hostOrdinal else {
                reach = slot
                continue
            }
            if widest.hostEnd > slot.hostStart {
                add(Self.shared(widest, slot, addresses), of: .sharedHostMemory)
            }
            if slot.hostEnd > widest.hostEnd { reach = slot }
        }
    }

    private static func shared(
        _ one: Memslot, _ other: Memslot, _ addresses: UserAddresses
    ) -> Finding {
        let names = [one, other].sorted { $0.assignedKey < $1.assignedKey }
        let isWritable = names.allSatisfy { !$0.flags.contains(.readOnly) }
        let bytes = hex(other.hostStart..<min(one.hostEnd, other.hostEnd))
        let host =
            if one.memory != nil {
                "the same bytes \(bytes) of one memory object"
            } else if addresses == .hidden { "the same user memory" } else {
                "user memory \(bytes)"
            }
        return Finding(
            .sharedHostMemory, isWritable ? .warning : .hint,
            "\(names[0].name) at \(hex(names[0].guestRange)) and \(names[1].name) at "
                + "\(hex(names[1].guestRange)) map \(host): "
                + "the guest sees one page at two addresses"
                + (isWritable ? ", and a dirty log marks only the one that was written" : ""),
            addressSpace: names[0].addressSpace, range: names[0].guestRange)
    }

    private mutating func addRuns(_ slots: [Memslot]) {
        var first = 0
        for next in slots.indices.dropFirst() where !slots[next - 1].continues(slots[next]) {
            addRun(slots[first..<next])
            first = next
        }
        addRun(slots[first...])
    }

    private mutating func addRun(_ run: ArraySlice<Memslot>) {
        guard let first = run.first, let last = run.last, run.count > 1 else { return }
        let range = first.guestRange.lowerBound..<last.guestRange.upperBound
        let names =
            run.contains { !$0.hasID }
            ? "\(run.count) ranges"
            : run.count == 2
                ? "slots \(first.assignedKey) and \(last.assignedKey)"
                : "\(run.count) slots, \(first.assignedKey) to \(last.assignedKey),"
        add(
            Finding(
                .couldBeOne, .hint,
                "\(names) are adjacent and equal, and could be one: \(hex(range))",
                addressSpace: first.addressSpace, range: range), of: .couldBeOne)
    }

    /// Slots that have room for a huge page, but at other addresses than the host's.
    ///
    /// Kernel: api.rst 4.35 asks for equal low 21 bits of guest and user address.
    private mutating func addMisfits(_ slots: [Memslot], _ addresses: UserAddresses) {
        let misfits = slots.filter { slot in
            if addresses == .ofPlainSlots, slot.memory != nil { return false }
            let difference = slot.guestPhysicalAddress.rawValue ^ slot.userspaceAddress.rawValue
            return slot.size.rawValue >= Self.hugePage && difference % Self.hugePage != 0
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
                ? first.name
                : first.hasID ? "\(count) slots from \(first.assignedKey) on" : "\(count) ranges"
            add(
                Finding(
                    .hugePages, .hint,
                    "\(names) at \(hex(range)) can't be backed by huge pages: the low 21 bits of "
                        + "guest and user address differ",
                    addressSpace: first.addressSpace, range: range), of: .hugePages)
        }
    }

    /// - Parameter slots: ascending by address space.
    private mutating func addCount(_ slots: [Memslot], _ limit: UInt32) {
        var rest = slots[...]
        while let space = rest.first?.addressSpace {
            let end = rest.partitioningIndex { $0.addressSpace > space }
            let count = end - rest.startIndex
            if count * 100 >= Int(limit) * Self.crowded {
                all.append(
                    Finding(
                        .slotCount, count > limit ? .error : .warning,
                        "\(count) of \(limit) slots are used", addressSpace: space))
            }
            rest = rest[end...]
        }
    }
}

extension Memslot {
    /// Whether it has bytes, and does not wrap 2^64.
    package var isPossible: Bool { size != .zero && guestPhysicalAddress.advanced(by: size) != nil }

    /// The guest physical addresses of a slot that is possible.
    package var guestRange: Range<UInt64> {
        guestPhysicalAddress.rawValue..<guestPhysicalEnd.rawValue
    }

    /// `slot 3`; `memory` for a slot without an id.
    fileprivate var name: String { hasID ? "slot \(assignedKey)" : "memory" }

    fileprivate var hostEnd: UInt64 { hostStart.addingSaturated(size.rawValue) }

    fileprivate func continues(_ upper: Memslot) -> Bool {
        guestPhysicalEnd == upper.guestPhysicalAddress && hostEnd == upper.hostStart
            && hostOrdinal == upper.hostOrdinal && flags == upper.flags
            && !flags.contains(.guestMemfd)
            && size.pages(of: .page) + upper.size.pages(of: .page) < 1 << 31
    }
}

/// `0xc0000`.
package func hex(_ value: some UnsignedInteger) -> String { "0x\(String(value, radix: 16))" }

/// `0xc0000-0xdffff`.
package func hex(_ range: Range<UInt64>) -> String {
    hex(first: range.lowerBound, last: range.upperBound &- 1)
}

/// The same for a range that may include the last byte of the address space.
package func hex(first: UInt64, last: UInt64) -> String { "\(hex(first))-\(hex(last))" }
