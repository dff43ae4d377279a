import Memslots

/// The totals of a run, which are exact however many records were lost.
///
/// They are computed from the records: transactions would take a kilobyte for each record.
package struct RunTotals: Sendable {
    private let recording: RunRecording
    private let name: String
    private let isAtomic: Bool
    private let transactions: Int?

    /// - Parameters:
    ///   - name: the name of the run's scenario.
    ///   - isAtomic: whether the calls were committed as transactions.
    ///   - transactions: how many there were; printed without `--atomic`, `nil` if it is not known.
    package init(_ recording: RunRecording, name: String, isAtomic: Bool, transactions: Int?) {
        (self.recording, self.name) = (recording, name)
        (self.isAtomic, self.transactions) = (isAtomic, transactions)
    }

    /// One line with the most important numbers.
    package var summary: String {
        guard isAtomic else {
            let known = recording.lost > 0 ? nil : transactions
            return "\(name): \(counted(recording.succeeded + recording.refused, "call"))"
                + (known.map { " in \(counted($0, "transaction"))" } ?? "") + shortage
        }
        var text = "\(name): \(counted(recording.succeeded, "call")) asked, "
        text += "\(recording.madeCount) made in \(counted(recording.commitCount, "transaction"))"
        if let holds = RunHolds(recording) { text += "; " + holds.summary }
        if recording.passed > 0 {
            text += "; \(counted(Int(clamping: recording.passed), "call")) made one by one beside "
            text += "the guest"
        }
        if recording.unapplied > 0 {
            text += "; \(recording.unapplied) of the calls asked were never applied: "
            text += "the VMM ended first"
        }
        return text + shortage
    }

    /// What the figures after the totals leave out.
    private var shortage: String {
        guard recording.lost > 0 else { return "" }
        return "; \(counted(recording.lost, "record")) between the first and the newest were not "
            + (recording.hasTotals
                ? "kept: these totals are exact, all other figures are about the rest"
                : "kept: all figures are about the rest")
    }

    /// The summary, and why transactions ended. Lines end with a newline.
    package var text: String { summary + "\n" + (isAtomic ? reasons : "") }

    private var reasons: String {
        let commits = recording.commits.filter { $0.reason != .pass }
        let counts = Dictionary(grouping: commits) { $0.reason?.text ?? "?" }
            .mapValues(\.count).sorted { $0.key < $1.key }
        let words = counts.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return (words.isEmpty ? "no transaction was committed" : "committed by: \(words)")
            + (recording.hasTotals
                ? "; \(recording.kicks) kicks, "
                    + "\(recording.shownKicks) of them visible to the VMM\n" : "\n")
            + (RunHolds(recording)?.details ?? "")
    }
}
