import MemslotPicture
import Memslots

/// For how long the transactions of a run with `--atomic` held vCPUs.
package struct RunHolds: Sendable {
    private let commits: [RunCommit]
    /// The durations in nanoseconds, ascending.
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
        past = recording.pastBudget
    }

    /// The duration that half of the holds do not exceed, in nanoseconds.
    package var median: UInt64 { sorted[sorted.count / 2] }

    /// The duration that 99 of 100 holds do not exceed, in nanoseconds.
    package var percentile99: UInt64 { sorted[sorted.count * 99 / 100] }

    /// The durations, for the summary.
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
