import Memslots

/// How pictures name the parts of a slot.
struct SlotWords {
    /// What the embedder calls its memory objects.
    var names: [MemoryObjectID: String]

    /// The slot's number; `auto` where the table is still to pick one.
    func id(_ slot: Memslot) -> String {
        slot.id == .unassigned ? "auto" : slot.id.description
    }

    /// The flags in short: `log ro gmem`; numbers for bits that have no name.
    func flags(_ flags: MemslotFlags) -> String {
        Self.flagWords(flags).joined(separator: " ")
    }

    /// What was switched: `+log -ro`.
    func flagChange(from old: MemslotFlags, to new: MemslotFlags) -> String {
        let on = Self.flagWords(new.subtracting(old)).map { "+" + $0 }
        let off = Self.flagWords(old.subtracting(new)).map { "-" + $0 }
        return (on + off).joined(separator: " ")
    }

    /// `hva 0x7f8dcfe00000`, or `ram +0x1000` where the memory has a name; `not told` where that is
    /// empty.
    func backing(_ slot: Memslot) -> String {
        guard let memory = slot.memory else { return "hva \(slot.userspaceAddress)" }
        if names[memory.object]?.isEmpty == true { return "not told" }
        let name = names[memory.object].map(printable) ?? "memory \(memory.object)"
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
