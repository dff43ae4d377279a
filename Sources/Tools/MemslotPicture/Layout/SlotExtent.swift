import Memslots

extension Memslot {
    /// The first byte, as a plain number.
    var first: UInt64 { guestPhysicalAddress.rawValue }

    /// The last byte; stops at 2^64 − 1, and is the first byte of a slot of size 0, so that a
    /// picture of nonsense is still a picture.
    var last: UInt64 {
        guard size.rawValue > 0 else { return first }
        let (sum, wrapped) = first.addingReportingOverflow(size.rawValue - 1)
        return wrapped ? .max : sum
    }

    /// The first byte past the slot; stops at 2^64 − 1.
    var end: UInt64 { last == .max ? .max : last + (size.rawValue > 0 ? 1 : 0) }
}

extension UInt64 {
    /// The sum, or 2^64 − 1 where it would wrap.
    func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, wrapped) = addingReportingOverflow(other)
        return wrapped ? .max : sum
    }

    /// `0x…` with at least `digits` digits.
    func hex(digits: Int = 1) -> String {
        let text = String(self, radix: 16)
        return "0x" + String(repeating: "0", count: Swift.max(0, digits - text.count)) + text
    }
}

extension [Memslot] {
    /// The slots by address space and address, which is how the guest sees them.
    func sortedByAddress() -> [Memslot] {
        sorted {
            ($0.addressSpace, $0.guestPhysicalAddress, $0.id)
                < ($1.addressSpace, $1.guestPhysicalAddress, $1.id)
        }
    }

    /// The unmapped bytes before each slot of one address space in order of address.
    func holesBefore() -> [UInt64] {
        var reached: UInt64 = 0
        return map { slot in
            defer { reached = Swift.max(reached, slot.end) }
            return slot.first > reached ? slot.first - reached : 0
        }
    }
}
