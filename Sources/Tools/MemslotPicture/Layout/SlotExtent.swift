import Memslots

extension Memslot {
    var first: UInt64 { guestPhysicalAddress.rawValue }

    /// The last byte, at most 2^64 − 1; the first of a slot of size 0, because all slots are drawn.
    var last: UInt64 { first.addingSaturated(max(size.rawValue, 1) - 1) }

    /// The first byte past the slot; at most 2^64 − 1.
    var end: UInt64 { first.addingSaturated(size.rawValue) }
}

extension UInt64 {
    func hex(digits: Int = 1) -> String {
        let text = String(self, radix: 16)
        return "0x" + String(repeating: "0", count: Swift.max(0, digits - text.count)) + text
    }
}

extension Range<UInt64> {
    /// The number of bytes, which may exceed an `Int`.
    var length: UInt64 { upperBound - lowerBound }
}

extension [Memslot] {
    /// `10 slots, 4 GiB`.
    var countAndSize: String {
        let bytes = reduce(UInt64(0)) { $0.addingSaturated($1.size.rawValue) }
        return "\(counted(count, "slot")), \(HumanSize(bytes: bytes))"
    }

    /// The unmapped range before each slot of one address space in order of address.
    func holesBefore() -> [Range<UInt64>] {
        var reached: UInt64 = 0
        return map { slot in
            defer { reached = Swift.max(reached, slot.end) }
            return Swift.min(reached, slot.first)..<slot.first
        }
    }
}

/// Sizes on a logarithmic scale, in 64ths of an octave; linear between powers of two.
enum LogScale {
    /// 64 times the binary logarithm of `bytes`; 0 for 0.
    static func level(_ bytes: UInt64) -> Int {
        guard bytes > 0 else { return 0 }
        let zeros = bytes.leadingZeroBitCount
        let fraction = Int((bytes << UInt64(zeros)) >> 57) & 63
        return (63 - zeros) * 64 + fraction
    }

    /// The distance of `bytes` above one page, in 64ths of an octave, never negative.
    static func abovePage(_ bytes: UInt64) -> Int { max(0, level(bytes) - 12 * 64) }

    /// The length of `bytes` on a scale on which `largest` has the length `length`; at least 1.
    static func part(_ bytes: UInt64, of largest: UInt64, length: Int) -> Int {
        // One octave below a page is the zero of the scale, so that a page still has a length.
        let whole = abovePage(largest) + 64
        return min(length, max(1, (abovePage(bytes) + 64) * length / whole))
    }
}

/// The bar of a row: its length is the size on a logarithmic scale.
struct SizeBar {
    enum Kind { case memory, readOnly, hole }

    var kind: Kind
    var bytes: UInt64

    func text(width: Int, largest: UInt64) -> String {
        guard width > 0 else { return "" }
        let eighths = LogScale.part(bytes, of: largest, length: width * 8)
        guard kind == .memory else {
            let cell = kind == .hole ? "┄" : "▒"
            return String(repeating: cell, count: max(1, (eighths + 4) / 8))
        }
        let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]
        return String(repeating: "█", count: eighths / 8) + partial
    }
}
