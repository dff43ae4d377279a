/// The members that an object may have, and those that it must have.
struct MemberTable<Member: RawRepresentable & CaseIterable & Sendable>: Sendable
where Member.RawValue == String {
    /// The members, as declared.
    let members: [Member]
    /// Their names.
    let names: [String]
    private let utf8: [[UInt8]]
    /// A bit for each member that must be there.
    let required: UInt32

    /// A table of all of `Member`, at most 32.
    init(required: (Member) -> Bool) {
        members = Array(Member.allCases)
        names = members.map(\.rawValue)
        utf8 = names.map { Array($0.utf8) }
        var bits: UInt32 = 0
        for (index, member) in members.enumerated() where required(member) { bits |= 1 << index }
        self.required = bits
    }

    /// The index of the member whose name stands at `node`; `nil` if it is none.
    ///
    /// - Parameter guess: the index to try first: members mostly come in the table's order.
    @inline(__always)
    func index(of node: Int, in document: JSONDocument, guess: Int) -> Int? {
        let entry = document.nodes[node]
        if entry.hasEscapes {
            return names.firstIndex { document.text(of: node, equals: $0) }
        }
        var index = guess < utf8.count ? guess : 0
        for _ in 0..<utf8.count {
            if utf8[index].count == entry.extent,
                document.bytes.isEqual(at: Int(entry.offset), to: utf8[index])
            {
                return index
            }
            index = index + 1 == utf8.count ? 0 : index + 1
        }
        return nil
    }
}

extension [UInt8] {
    /// Whether the bytes from `start` are those of `other`.
    @inline(__always)
    fileprivate func isEqual(at start: Int, to other: [UInt8]) -> Bool {
        var index = start
        for byte in other {
            if self[index] != byte { return false }
            index += 1
        }
        return true
    }
}
