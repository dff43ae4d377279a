import MemslotPicture
import Memslots

/// Why each call of a plan is there, in words.
struct OperationReasons {
    private let replaced: [SlotKey: (before: Memslot, after: Memslot)]

    init(_ diff: MemslotDiff) {
        let added = Dictionary(uniqueKeysWithValues: diff.added.map { ($0.key, $0) })
        replaced = diff.removed.reduce(into: [:]) { pairs, before in
            if let after = added[before.key] { pairs[before.key] = (before, after) }
        }
    }

    func reason(for operation: PlannedOperation) -> String {
        switch (operation.reason, operation.call) {
        case (.parked, _): return "makes room for a while"
        case (.cycle, .delete): return "moves that wait for each other in a circle: out of the way"
        case (.cycle, _): return "back, at its new address"
        case (.replaced, let call):
            guard let pair = replaced[call.key] else { return "replaced" }
            return "replaced: \(Self.difference(pair.before, pair.after)) can't change in place"
        case (nil, .create): return "added"
        case (nil, .delete): return "removed"
        case (nil, .move(let from, let to)):
            let log = Self.log(from, to).map { ", \($0)" } ?? ""
            return "moved from \(from.guestPhysicalAddress)\(log)"
        case (nil, .reflag(let from, let to)): return Self.log(from, to) ?? "flags"
        }
    }

    private static func log(_ from: Memslot, _ to: Memslot) -> String? {
        guard from.isLogging != to.isLogging else { return nil }
        return to.isLogging ? "logs dirty pages now" : "stops logging dirty pages"
    }

    /// The members that keep a slot from being changed in place.
    private static func difference(_ before: Memslot, _ after: Memslot) -> String {
        var members: [String] = []
        if before.size != after.size {
            members.append("size (\(HumanSize(before.size)) → \(HumanSize(after.size)))")
        }
        if before.userspaceAddress != after.userspaceAddress || before.memory != after.memory {
            members.append("backing")
        }
        if before.flags.contains(.readOnly) != after.flags.contains(.readOnly) {
            members.append("readonly")
        }
        if before.flags.contains(.guestMemfd) || after.flags.contains(.guestMemfd) {
            members.append("a guest-memfd slot")
        }
        return members.joined(separator: ", ")
    }
}
