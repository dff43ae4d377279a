import Glibc

/// The members that an object may have, and those that it must have.
package struct MemberTable<Member: RawRepresentable & CaseIterable & Sendable>: Sendable
where Member.RawValue == String {
    /// The members, as declared.
    package let members: [Member]
    /// Their names.
    package let names: [String]
    /// The names one after another, because an array of arrays is counted at every look.
    private let text: [UInt8]
    /// Where each name begins in ``text``, and where the last ends.
    private let bounds: [Int]
    /// A bit for each member that must be there.
    package let required: UInt32

    /// A table of all of `Member`, at most 32.
    package init(required: (Member) -> Bool) {
        members = Array(Member.allCases)
        names = members.map(\.rawValue)
        text = names.flatMap { Array($0.utf8) }
        bounds = names.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.utf8.count) }
        var bits: UInt32 = 0
        for (index, member) in members.enumerated() where required(member) { bits |= 1 << index }
        self.required = bits
    }

    /// The index of the member whose name stands at `node`; `nil` if it is none.
    ///
    /// - Parameter guess: the index to try first: members mostly come in the table's order.
    @inline(__always)
    package func index(of node: Int, in document: JSONDocument, guess: Int) -> Int? {
        let entry = document.nodes[node]
        if entry.hasEscapes {
            return names.firstIndex { document.text(of: node, equals: $0) }
        }
        let count = members.count
        var index = guess < count ? guess : 0
        for _ in 0..<count {
            let start = bounds[index]
            if bounds[index + 1] - start == entry.extent,
                document.hasBytes(at: Int(entry.offset), text, from: start, count: entry.extent)
            {
                return index
            }
            index = index + 1 == count ? 0 : index + 1
        }
        return nil
    }
}

extension JSONDocument {
    /// Whether `count` bytes of the source from `offset` are those of `text` from `start`.
    @inline(__always)
    fileprivate func hasBytes(
        at offset: Int, _ text: [UInt8], from start: Int, count: Int
    ) -> Bool {
        // Pointers, because bytes checked one by one are half the time that a decoder takes;
        // making the slices checks both ranges.
        bytes.withUnsafeBytes { bytes in
            text.withUnsafeBytes { text in
                let left = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
                let right = UnsafeRawBufferPointer(rebasing: text[start..<start + count])
                guard let left = left.baseAddress, let right = right.baseAddress else {
                    return true
                }
                return memcmp(left, right, count) == 0
            }
        }
    }
}
