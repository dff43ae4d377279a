package import Memslots

/// What could be better about an array of slots, though it works.
package struct SlotFindings: Hashable, Sendable {
    /// Two slots that could be one: adjacent for the guest and in user memory, with equal flags.
    package struct Split: Hashable, Sendable {
        /// The one at the lower address.
        package var lower: Memslot
        /// The one that goes on where it ends.
        package var upper: Memslot
    }

    /// The pairs that could be one slot, ascending.
    package private(set) var splits: [Split] = []
    /// Slots of a huge page and more which no huge page can back: the low 21 bits of the guest's
    /// address and of the user's differ.
    package private(set) var misaligned: [Memslot] = []

    /// 2 MiB.
    private static let hugePage: UInt64 = 1 << 21

    /// Looks at an array.
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

    /// A sentence for each.
    package var sentences: [String] {
        splits.map {
            "slots \($0.lower.key) and \($0.upper.key) are adjacent and alike, and could be one: "
                + hex($0.lower.range.start..<$0.upper.range.end)
        }
            + misaligned.map {
                "slot \($0.key) at \(hex($0.range.start..<$0.range.end)) can't be backed by huge "
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
