import Memslots

/// What a picture says of slots that it folds into one row.
struct SlotGroup {
    let count: Int
    let first: UInt64
    let last: UInt64
    let bytes: UInt64
    private let sizes: ClosedRange<UInt64>
    private let ids: ClosedRange<UInt32>
    private let holes: [UInt64]
    private let marks: [(mark: ChangeMark, count: Int)]

    /// - Precondition: `items` is not empty.
    init(_ items: some Collection<MapItem>) {
        let slots = items.map(\.slot)
        let sizes = slots.map(\.size.rawValue)
        let ids = slots.map(\.id.rawValue)
        self.count = slots.count
        self.first = slots.map(\.first).min() ?? 0
        self.last = slots.map(\.last).max() ?? 0
        self.bytes = sizes.reduce(0) { $0.addingSaturated($1) }
        self.sizes = (sizes.min() ?? 0)...(sizes.max() ?? 0)
        self.ids = (ids.min() ?? 0)...(ids.max() ?? 0)
        self.holes = items.map(\.hole).filter { $0 > 0 }
        self.marks = ChangeMark.allCases.compactMap { mark in
            let count = items.count { $0.mark == mark }
            return count == 0 ? nil : (mark, count)
        }
    }

    /// `497 more slots`, or `497 unchanged slots`, or `12 moved, 3 unchanged slots`.
    var countText: String {
        guard !marks.isEmpty else { return "\(count) more slot\(count == 1 ? "" : "s")" }
        let parts = marks.map { "\($0.count) \($0.mark)" }.joined(separator: ", ")
        return parts + (count == 1 ? " slot" : " slots")
    }

    /// The one mark of all slots in the group, if there is one.
    var commonMark: ChangeMark? { marks.count == 1 ? marks[0].mark : nil }

    /// `8 MiB each`, or `4 KiB to 2 GiB`.
    var sizeText: String {
        let low = HumanSize(bytes: sizes.lowerBound)
        if sizes.lowerBound == sizes.upperBound { return count == 1 ? "\(low)" : "\(low) each" }
        return "\(low) to \(HumanSize(bytes: sizes.upperBound))"
    }

    /// `ids 12–508` where the group has all of those, else `ids within 12–508`.
    func idText(dash: String) -> String {
        if ids.upperBound == SlotID.unassigned.rawValue { return "ids not yet picked" }
        if count == 1 { return "id \(ids.lowerBound)" }
        let isWhole = Int(ids.upperBound - ids.lowerBound) + 1 == count
        return "ids \(isWhole ? "" : "within ")\(ids.lowerBound)\(dash)\(ids.upperBound)"
    }

    /// `497 holes of 8 MiB`, or `12 holes, 3 GiB in all`; `nil` without holes.
    var holeText: String? {
        guard let first = holes.first else { return nil }
        if holes.allSatisfy({ $0 == first }) {
            return "\(counted(holes.count, "hole")) of \(HumanSize(bytes: first))"
        }
        let sum = holes.reduce(UInt64(0)) { $0.addingSaturated($1) }
        return "\(holes.count) holes, \(HumanSize(bytes: sum)) in all"
    }

    /// All of it, in one line.
    func text(dash: String) -> String {
        [countText, sizeText, idText(dash: dash), holeText].compactMap { $0 }
            .joined(separator: ", ")
    }
}
