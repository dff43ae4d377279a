import CRunRecord
import MemslotPicture
import MemslotTestKit
import MemslotTrace
import Memslots
import Testing

@Suite("What a run leaves in shared memory")
struct RunRecordingTests {
    private func call(
        _ slot: UInt32, size: UInt64, at time: UInt64, thread: Int32 = 7, runs: UInt64 = 0,
        entries: UInt64 = 0, inside: UInt32 = 0, result: Int32 = 0
    ) -> crun_record {
        var record = crun_record()
        record.kind = CRUN_ASKED
        record.thread = thread
        record.start = time
        record.duration = 10
        record.result = result
        record.region.form = 1
        record.region.slot = slot
        record.region.guest_phys_addr = UInt64(slot) << 20
        record.region.memory_size = size
        record.region.userspace_addr = 0x7f00_0000_0000
        record.runs = runs
        record.entries = entries
        record.inside = inside
        return record
    }

    private var machine: crun_record {
        var record = crun_record()
        record.kind = CRUN_VM
        record.thread = 7
        return record
    }

    private func recording(_ bytes: [UInt8]) -> RunRecording {
        bytes.withUnsafeBytes { RunRecording($0) }
    }

    @Test("memory of something else is an empty recording", arguments: [0, 8, 256, 300, 4096])
    func garbage(size: Int) {
        let recording = recording([UInt8](repeating: 0xa5, count: size))
        #expect(recording.attached == 0)
        #expect(recording.asked.isEmpty)
    }

    @Test("a record that was never finished is counted")
    func unfinished() {
        var open = call(1, size: 0x1000, at: 100)
        open.kind = CRUN_NOTHING
        let recording = recording(
            runMemory([machine, call(0, size: 0x1000, at: 50), open]))
        #expect(recording.unfinished == 1)
        #expect(recording.asked.count == 1)
        #expect(recording.lost == 0)
    }

    @Test("a vCPU inside during a hole is the guest running; a thread's own runs are boundaries")
    func holes() throws {
        let records = [
            machine,
            call(0, size: 0x2000, at: 0),
            call(0, size: 0, at: 1000, runs: 1, entries: 5, inside: 1),
            call(0, size: 0x2000, at: 2000, runs: 1, entries: 5, inside: 1),
            call(0, size: 0, at: 5000, runs: 2, entries: 6, inside: 0),
            call(0, size: 0x2000, at: 5500, runs: 2, entries: 6, inside: 0),
        ]
        let recording = recording(runMemory(records))
        let imported = try recording.imported(options: TraceImporter.Options())
        let transactions = imported.scenario.transactions
        #expect(transactions.map(\.calls.count) == [1, 2, 2])
        #expect(transactions[1].audit.longestNanoseconds == 1010)
        #expect(transactions[1].audit.guest == .running)
        #expect(transactions[2].audit.longestNanoseconds == 510)
        #expect(transactions[2].audit.guest == .notRunning)
    }

    @Test(
        "what a vCPU's thread puts back in a later commit is unclear, and what nobody asked for a hole",
        arguments: [(Int32(8), UInt64(5), Hole.Verdict.unclear), (8, 0, .hole), (7, 0, .hole)])
    func commits(thread: Int32, runs: UInt64, verdict: Hole.Verdict) throws {
        func committed(_ call: crun_record, isFelt: Bool = true) -> [crun_record] {
            var (made, commit) = (call, call)
            made.kind = CRUN_MADE
            commit.kind = CRUN_COMMIT
            (commit.duration, commit.hold.why) = (500, CRUN_BY_QUIET)
            commit.hold.withheld_none = isFelt ? 0 : 1
            return [made, commit]
        }
        let records =
            [machine] + committed(call(0, size: 0x2000, at: 0), isFelt: false)
            + committed(call(0, size: 0, at: 1000, entries: 5))
            + committed(call(0, size: 0x2000, at: 9000, thread: thread, runs: runs, entries: 9))
        let recording = recording(runMemory(records))
        let report = try recording.importedCommits(options: TraceImporter.Options()).report
        #expect(report.absences.map(\.verdict) == [verdict])
        // The first has withheld nothing.
        #expect(RunHolds(recording)?.summary.contains("held for 500 ns (median)") == true)
        #expect(recording.commits.map(\.hasWithheldEntry) == [false, true, true])
    }

    @Test("a call of no VM, and words of any kind, don't trap")
    func nonsense() throws {
        var odd = call(.max, size: .max, at: .max, runs: .max, entries: .max, inside: .max)
        odd.vm = .max
        odd.duration = .max
        var negative = call(3, size: 0x1000, at: 5, result: .min)
        negative.region.form = .max
        let recording = recording(runMemory([machine, odd, negative]))
        let report = try recording.imported(options: TraceImporter.Options()).report
        #expect(report.scenario.transactions.isEmpty)
        #expect(!report.text.isEmpty)
        #expect(!recording.rawLines(of: 0).isEmpty)
    }

    /// Records whose numbers are drawn from those at which arithmetic overflows.
    private func hostileRecords(seed: UInt64) -> [crun_record] {
        var random = SeededRandom(seed: seed)
        let edges: [UInt64] = [
            0, 1, 0xfff, 0x1000, 0x2000, 1 << 31, 1 << 32, 1 << 52, 1 << 63, .max - 0xfff, .max - 1,
            .max,
        ]
        func draw() -> UInt64 { edges[Int.random(in: 0..<edges.count, using: &random)] }
        return [machine]
            + (0..<12).map { _ in
                var record = call(
                    UInt32.random(in: 0..<3, using: &random), size: draw(), at: draw(),
                    thread: Int32.random(in: 6..<9, using: &random), runs: draw(),
                    entries: draw(), inside: UInt32(truncatingIfNeeded: draw()),
                    result: Int32.random(in: 0..<4, using: &random) == 0 ? -22 : 0)
                record.kind = UInt32.random(in: 0..<10, using: &random)
                record.vm = UInt32.random(in: 0..<8, using: &random) == 0 ? .max : 0
                (record.duration, record.applied, record.held_since) = (draw(), draw(), draw())
                record.region.guest_phys_addr = draw()
                record.region.form = UInt32.random(in: 0..<9, using: &random)
                (record.asked, record.made) = (.max, .max)
                return record
            }
    }

    @Test("no record of a hostile VMM traps the report, the picture or the reader of a live run")
    func hostile() {
        var pictures = 0
        for seed in 0..<4_000 as Range<UInt64> {
            let begun = seed % 4 == 0 ? 1_000 : 13 as UInt64
            let bytes = runMemory(hostileRecords(seed: seed), begun: begun, room: 12)
            let recording = recording(bytes)
            for isAtomic in [false, true] {
                let options = TraceImporter.Options()
                let follower = RunFollower(isAtomic: isAtomic, options: options)
                var reader = RunRecordReader(follower)
                var writer = RunScenarioWriter(options)
                for event in bytes.withUnsafeBytes({ reader.read($0, isOver: true) }) {
                    _ = writer.lines(of: event)
                }
                guard let imported = try? recording.imported(options: options) else { continue }
                var audit = RunAudit(
                    recording: recording, imported: imported, isAtomic: isAtomic)
                audit.committed = isAtomic ? try? recording.importedCommits(options: options) : nil
                #expect(!audit.text.isEmpty)
                #expect(audit.timeline.svg().contains("</svg>"))
                pictures += 1
            }
        }
        #expect(pictures > 2_000)
    }
}
