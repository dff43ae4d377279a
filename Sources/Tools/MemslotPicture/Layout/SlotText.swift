import Memslots

/// The text of a slot's parts in pictures.
struct SlotLabels {
    /// The embedder's names of memory objects.
    var names: [MemoryObjectID: String]

    /// The slot's number; `auto` if the table has not picked one yet.
    func id(_ slot: Memslot) -> String { slot.id?.description ?? "auto" }

    /// The flags in short: `log ro gmem`; numbers for bits without a name.
    func flags(_ flags: MemslotFlags) -> String { Self.flagWords(flags).joined(separator: " ") }

    /// The flags that changed: `+log -ro`.
    func flagChange(from old: MemslotFlags, to new: MemslotFlags) -> String {
        let on = Self.flagWords(new.subtracting(old)).map { "+" + $0 }
        let off = Self.flagWords(old.subtracting(new)).map { "-" + $0 }
        return (on + off).joined(separator: " ")
    }

    /// `hva 0x7f8dcfe00000`, or `ram +0x1000` if the memory has a name; `hidden` if the name is
    /// empty.
    func backing(_ slot: Memslot) -> String {
        guard let memory = slot.memory else { return "hva \(slot.userspaceAddress)" }
        if names[memory.object]?.isEmpty == true { return "hidden" }
        let name = names[memory.object].map(Terminal.safe) ?? "memory \(memory.object)"
        return "\(name) +\(memory.offset)"
    }

    /// Each flag's short name, in the kernel's order.
    static func flagWords(_ flags: MemslotFlags) -> [String] {
        let known: [(MemslotFlags, String)] = [
            (.logDirtyPages, "log"), (.readOnly, "ro"), (.guestMemfd, "gmem"),
        ]
        var words = known.compactMap { flags.contains($0.0) ? $0.1 : nil }
        let unknown = known.reduce(flags) { $0.subtracting($1.0) }
        if !unknown.isEmpty { words.append(UInt64(unknown.rawValue).hex()) }
        return words
    }
}

/// The text of slots that are folded into one row.
struct SlotGroup {
    let count: Int
    let first: UInt64
    let last: UInt64
    let bytes: UInt64
    private let sizes: ClosedRange<UInt64>
    /// `nil` if a slot has no id yet.
    private let ids: ClosedRange<UInt32>?
    private let holes: [UInt64]
    private let marks: [(mark: ChangeMark, count: Int)]

    /// - Precondition: `items` is not empty.
    init(_ items: some Collection<MapItem>) {
        let slots = items.map(\.slot)
        let sizes = slots.map(\.size.rawValue)
        let ids = slots.compactMap(\.id?.rawValue)
        self.count = slots.count
        self.first = slots.map(\.first).min() ?? 0
        self.last = slots.map(\.last).max() ?? 0
        self.bytes = sizes.reduce(0) { $0.addingSaturated($1) }
        self.sizes = (sizes.min() ?? 0)...(sizes.max() ?? 0)
        self.ids = ids.count == slots.count ? (ids.min() ?? 0)...(ids.max() ?? 0) : nil
        self.holes = items.map(\.hole).filter { $0 > 0 }
        self.marks = ChangeMark.counts(items.map(\.mark))
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

    /// `ids 12–508` if the group has all of them, otherwise `ids within 12–508`.
    var idText: String {
        guard let ids else { return "ids not yet picked" }
        if count == 1 { return "id \(ids.lowerBound)" }
        let isWhole = Int(ids.upperBound - ids.lowerBound) + 1 == count
        return "ids \(isWhole ? "" : "within ")\(ids.lowerBound)–\(ids.upperBound)"
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

    /// All of the above in one line.
    var text: String {
        [countText, sizeText, idText, holeText].compactMap { $0 }.joined(separator: ", ")
    }
}
