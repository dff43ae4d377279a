import Foundation
import Glibc
import TestSupport

/// A `memslotctl watch` on a run's socket, started before the VMM.
///
/// The VMM's command waits for a file, which is created after the subscription.
final class LiveWatch: @unchecked Sendable {
    // Unchecked: one thread starts the process; others wait for it afterwards.
    let socket = Workbench.file("socket")
    private let go = Workbench.file("go")
    private let output = Workbench.file("watched")
    private let process = ChildProcess()
    private let isStarted = DispatchSemaphore(value: 0)

    init() {
        Thread.detachNewThread { [self] in
            start()
            isStarted.signal()
        }
    }

    /// The VMM's command, after the wait.
    func command(_ words: [String]) -> [String] {
        let wait = "while [ ! -e \(go) ]; do sleep 0.01; done; exec \"$0\" \"$@\""
        return ["/bin/sh", "-c", wait] + words
    }

    private func start() {
        // If nothing listens in time, the test fails on the missing events.
        let limit = Date(timeIntervalSinceNow: 60)
        while access(socket, F_OK) != 0 {
            guard Date() < limit else { return }
            usleep(5_000)
        }
        _ = FileManager.default.createFile(atPath: output, contents: nil)
        process.executableURL = URL(fileURLWithPath: Workbench.memslotctl ?? "")
        process.arguments = ["watch", "--socket", socket, "--json"]
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle.nullDevice
        if (try? process.run()) != nil {
            // The snapshot is the first line.
            try? waitUntil("a snapshot") { !process.isRunning || text(output).contains("\n") }
        }
        _ = FileManager.default.createFile(atPath: go, contents: nil)
    }

    /// Waits until an event with `words` has come; `false` after two minutes or at the run's end.
    func wait(for words: String) -> Bool {
        isStarted.wait()
        isStarted.signal()
        let limit = Date(timeIntervalSinceNow: 120)
        while !text(output).contains(words) {
            guard process.isRunning, Date() < limit else { return false }
            usleep(5_000)
        }
        return true
    }

    /// The events, once the run has ended.
    func finish() -> WatchedEvents {
        isStarted.wait()
        guard process.executableURL != nil else { return WatchedEvents("", status: -1) }
        process.waitUntilExit()
        return WatchedEvents(text(output), status: process.terminationStatus)
    }
}

/// The events of a run.
struct WatchedEvents {
    let status: Int32
    let lines: [[String: Any]]

    init(_ text: String, status: Int32) {
        self.status = status
        lines = text.split(separator: "\n").compactMap {
            try? JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
    }

    /// The `params` of each notification of a method.
    func events(_ method: String) -> [[String: Any]] {
        lines.filter { $0["method"] as? String == method }
            .compactMap { $0["params"] as? [String: Any] }
    }

    var transactions: [[String: Any]] { events("run.transaction") }

    /// The figures of `run.ended`, computed from the whole record.
    var ended: Figures? { events("run.ended").first.map { Figures(ended: $0) } }

    /// The same figures, summed over the live events.
    var live: Figures { Figures(transactions: transactions) }
}

/// The figures that a report and its events must agree on, to the nanosecond.
struct Figures: Equatable {
    var transactions = 0
    var calls = 0
    var withHoles = 0
    var withHolesInGuest = 0
    var missing: UInt64 = 0
    var longest: UInt64 = 0
    var total: UInt64 = 0

    init(ended: [String: Any]) {
        transactions = ended["transactions"] as? Int ?? -1
        calls = ended["calls"] as? Int ?? -1
        withHoles = ended["transactionsWithHoles"] as? Int ?? -1
        withHolesInGuest = ended["transactionsWithHolesInGuest"] as? Int ?? -1
        missing = Self.size(ended["missingBytes"])
        longest = Self.number(ended["longestNanoseconds"])
        total = Self.number(ended["totalNanoseconds"])
    }

    init(transactions list: [[String: Any]]) {
        transactions = list.count
        for one in list {
            calls += one["calls"] as? Int ?? -1
            let holes = one["holes"] as? [[String: Any]] ?? []
            if !holes.isEmpty { withHoles += 1 }
            if one["guestInside"] as? Bool == true { withHolesInGuest += 1 }
            missing += Self.size(one["missingBytes"])
            longest = max(longest, Self.number(one["longestNanoseconds"]))
            total += Self.number(one["totalNanoseconds"])
        }
    }

    /// Whether these sums over the transactions agree with the figures at the end, in which memory
    /// that was missing twice, and times that overlap, count once.
    func agree(with ended: Figures) -> Bool {
        var same = self
        (same.missing, same.total) = (ended.missing, ended.total)
        return same == ended && (missing == 0) == (ended.missing == 0)
            && missing >= ended.missing && total >= ended.total
    }

    private static func number(_ value: Any?) -> UInt64 { (value as? NSNumber)?.uint64Value ?? 0 }

    private static func size(_ value: Any?) -> UInt64 {
        UInt64((value as? String)?.dropFirst(2) ?? "", radix: 16) ?? 0
    }
}
