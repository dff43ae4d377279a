import Memslots

struct SlotLabels {
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

    /// `hva 0x7f8dcfe00000`, or `ram +0x1000` of named memory; `hidden` if the name is empty.
    func backing(_ slot: Memslot) -> String {
        guard let memory = slot.memory else { return "hva \(slot.userspaceAddress)" }
        if names[memory.object]?.isEmpty == true { return "hidden" }
        let name = names[memory.object].map(Terminal.safe) ?? "memory \(memory.object)"
        return "\(name) +\(memory.offset)"
    }

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

struct SlotGroup {
    private let items: [MapItem]
    private let marks: [(mark: ChangeMark, count: Int)]

    /// - Precondition: `items` is not empty.
    init(_ items: some Collection<MapItem>) {
        self.items = Array(items)
        marks = ChangeMark.counts(items.map(\.mark))
    }

    var count: Int { items.count }
    var first: UInt64 { items.map(\.slot.first).min() ?? 0 }
    var last: UInt64 { items.map(\.slot.last).max() ?? 0 }

    /// `497 more slots`, or `497 unchanged slots`, or `12 moved, 3 unchanged slots`.
    var countText: String {
        guard !marks.isEmpty else { return "\(count) more slot\(count == 1 ? "" : "s")" }
        let parts = marks.map { "\($0.count) \($0.mark)" }.joined(separator: ", ")
        return parts + (count == 1 ? " slot" : " slots")
    }

    var commonMark: ChangeMark? { marks.count == 1 ? marks[0].mark : nil }

    /// `8 MiB each`, or `4 KiB to 2 GiB`.
    var sizeText: String {
        let sizes = items.map(\.slot.size.rawValue)
        let (low, high) = (HumanSize(bytes: sizes.min() ?? 0), HumanSize(bytes: sizes.max() ?? 0))
        if low == high { return count == 1 ? "\(low)" : "\(low) each" }
        return "\(low) to \(high)"
    }

    /// `ids 12–508` if the group has all of them, otherwise `ids within 12–508`.
    var idText: String {
        let ids = items.compactMap(\.slot.id?.rawValue)
        guard ids.count == count, let low = ids.min(), let high = ids.max() else {
            return "ids not yet picked"
        }
        if count == 1 { return "id \(low)" }
        return "ids \(Int(high - low) + 1 == count ? "" : "within ")\(low)–\(high)"
    }

    /// `497 holes of 8 MiB`, or `12 holes, 3 GiB in all`; `nil` without holes.
    var holeText: String? {
        let holes = items.map(\.hole.length).filter { $0 > 0 }
        guard let first = holes.first else { return nil }
        if holes.allSatisfy({ $0 == first }) {
            return "\(counted(holes.count, "hole")) of \(HumanSize(bytes: first))"
        }
        let sum = holes.reduce(UInt64(0)) { $0.addingSaturated($1) }
        return "\(holes.count) holes, \(HumanSize(bytes: sum)) in all"
    }

    var text: String {
        [countText, sizeText, idText, holeText].compactMap { $0 }.joined(separator: ", ")
    }
}
