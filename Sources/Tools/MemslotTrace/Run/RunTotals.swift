import CRunRecord
import MemslotPicture
import Memslots

/// The exact totals of a run. From records: transactions would take a kilobyte for each.
package struct RunTotals: Sendable {
    private let recording: RunRecording
    private let name: String
    private let isAtomic: Bool
    private let transactions: Int?

    /// `transactions` is their number without `--atomic`, `nil` if it is not known.
    package init(_ recording: RunRecording, name: String, isAtomic: Bool, transactions: Int?) {
        (self.recording, self.name) = (recording, name)
        (self.isAtomic, self.transactions) = (isAtomic, transactions)
    }

    package var summary: String {
        guard isAtomic else {
            let known = recording.lost > 0 ? nil : transactions
            return "\(name): \(counted(recording.succeeded + recording.refused, "call"))"
                + (known.map { " in \(counted($0, "transaction"))" } ?? "") + shortage
        }
        var text = "\(name): \(counted(recording.succeeded, "call")) asked, "
        text += "\(recording.madeCount) made in \(counted(recording.commitCount, "transaction"))"
        if let holds = RunHolds(recording) { text += "; " + holds.summary }
        let header = recording.header
        if header.passed > 0 {
            let calls = counted(Int(clamping: header.passed), "call")
            text += "; \(calls) made one by one beside the guest"
        }
        if header.deferred > 0 {
            text += "; \(header.deferred) of the calls asked were never applied: "
            text += "the VMM ended first"
        }
        return text + shortage
    }

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
                ? "; \(recording.header.kicks) kicks, "
                    + "\(recording.header.shown) of them visible to the VMM\n" : "\n")
            + (RunHolds(recording)?.details ?? "")
    }
}

package struct RunHolds: Sendable {
    private let commits: [RunCommit]
    private let sorted: [UInt64]
    /// The longest hold, also of those that there was no room to record.
    package let longest: UInt64
    /// The number of transactions, also of those that there was no room to record.
    package let count: Int
    private let past: Int

    /// Of the transactions that have withheld an entry into the guest; `nil` without one.
    package init?(_ recording: RunRecording) {
        commits = recording.commits.filter { $0.reason != .pass && $0.hasWithheldEntry }
        guard !commits.isEmpty else { return nil }
        sorted = commits.map(\.heldNanoseconds).sorted()
        longest = recording.longestHold
        count = recording.commitCount
        past = Int(clamping: recording.header.past)
    }

    /// The duration that half of the holds do not exceed, in nanoseconds.
    package var median: UInt64 { sorted[sorted.count / 2] }
    /// The duration that 99 of 100 holds do not exceed, in nanoseconds.
    package var percentile99: UInt64 { sorted[sorted.count * 99 / 100] }

    package var summary: String {
        "vCPUs held for \(HumanDuration(nanoseconds: median)) (median), "
            + "\(HumanDuration(nanoseconds: percentile99)) (99%), "
            + "\(HumanDuration(nanoseconds: longest)) at most"
            + (past == 0 ? "" : ", \(counted(past, "time")) past the budget")
    }

    /// What holds consisted of, and how many there were of each duration. Lines end with a newline.
    var details: String {
        func median(_ part: (RunCommit) -> UInt64) -> HumanDuration {
            let times = commits.map(part).sorted()
            return HumanDuration(nanoseconds: times[times.count / 2])
        }
        // Calls past the budget were made after the release.
        let calls = median { $0.reason == .budget ? 0 : $0.appliedNanoseconds }
        let asleep = commits.reduce(0) { $0 + $1.asleep }
        // By powers of two, of microseconds.
        let bins = Dictionary(grouping: sorted) {
            UInt64.bitWidth - ($0 / 1000).leadingZeroBitCount
        }
        let counts = bins.sorted { $0.key < $1.key }.map { bits, holds in
            "below \(HumanDuration(nanoseconds: 1000 << UInt64(bits))) \(holds.count)"
        }
        return "parts of a hold (medians): kick \(median(\.kickNanoseconds)), "
            + "wait \(median(\.waitNanoseconds)), the VMM between calls "
            + "\(median(\.vmmNanoseconds)), calls \(calls), release "
            + "\(median(\.releaseNanoseconds)); a vCPU that slept in the kernel was not waited for "
            + "\(counted(asleep, "time"))\nholds: \(counts.joined(separator: ", "))\n"
    }
}
