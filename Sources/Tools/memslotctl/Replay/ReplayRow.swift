import MemslotPicture
import MemslotProtocol
import MemslotScenario
import MemslotService

/// One submit of a replay, as one line of its table.
struct ReplayRow {
    let vm: String
    let generation: String
    let operations: Int
    let recorded: UInt64?
    let blackout: UInt64
    let isCommitted: Bool
    let isQuiesced: Bool
    let change: String
    let ink: Ink

    /// The row of a submit; `nil` for any other line.
    init?(_ played: ScenarioPlayer.Played) {
        guard played.method == Method.memslotsSubmit.rawValue, let response = played.response
        else { return nil }
        vm = played.vm ?? ""
        recorded = played.recordedOperations
        guard let receipt = response["result"] else {
            let error = response["error"]
            generation = "–"
            operations = 0
            blackout = 0
            isCommitted = false
            isQuiesced = false
            let kind = error?["data"]?["kind"]?.string ?? "error"
            change = "refused: \(kind)"
            ink = played.mismatches.isEmpty ? .yellow : .red
            return
        }
        generation = String(receipt["generation"]?.uint64 ?? 0)
        operations = receipt["operationCount"]?.int ?? 0
        blackout = receipt["nanoseconds"]?["blackout"]?.uint64 ?? 0
        isCommitted = receipt["outcome"]?.isString("committed") ?? false
        isQuiesced = receipt["quiesced"]?.bool ?? false
        change = isCommitted ? Self.words(for: receipt["diff"]) : "unchanged"
        ink = played.mismatches.isEmpty ? .plain : .red
    }

    /// A dash where no vCPU was held out.
    var blackoutText: String {
        isQuiesced && isCommitted ? HumanDuration(nanoseconds: blackout).description : "–"
    }

    /// What was changed; a slot in both lists was replaced.
    static func words(for diff: JSONValue?) -> String {
        func names(_ member: String) -> [String] {
            (diff?[member]?.elements).map { $0.map(Self.name) } ?? []
        }
        let (added, removed) = (names("added"), names("removed"))
        let replaced = added.filter(removed.contains)
        let groups: [(sign: String, names: [String])] = [
            ("removed", removed.filter { !replaced.contains($0) }),
            ("replaced", replaced),
            ("moved", names("moved")),
            ("added", added.filter { !replaced.contains($0) }),
            ("reflagged", names("reflagged")),
        ]
        return groups.filter { !$0.names.isEmpty }
            .map { "\($0.sign) \(shortened($0.names))" }.joined(separator: ", ")
    }

    /// `3`, or `1:3` in address space 1, of an id in a diff.
    static func name(_ slot: JSONValue) -> String {
        guard let space = slot["addressSpace"]?.uint64 else { return slot.rawText }
        return "\(space):\(slot["slot"]?.uint64 ?? 0)"
    }

    private static func shortened(_ names: [String]) -> String {
        let most = 8
        let shown = names.prefix(most).joined(separator: " ")
        return names.count > most ? "\(shown) … (\(names.count))" : shown
    }
}
