import Foundation
import MemslotTrace
import Memslots
import TestSupport
import Testing

@Suite("Holes over time in the logs of Fixtures/field")
struct FieldHoleTests {
    private func report(_ file: String) throws -> ImportReport {
        let url = Repository.url("Fixtures").appendingPathComponent("field/\(file)")
        return try imported(String(contentsOf: url, encoding: .utf8)).report
    }

    private struct Row: Equatable {
        var start: UInt64
        var size: UInt64
        var certain: UInt64?
        var atMost: UInt64?
        var backing: Hole.Backing
        var guest: GuestActivity
        var verdict = Hole.Verdict.hole

        init(
            _ start: UInt64, _ size: UInt64, _ certain: UInt64?, _ atMost: UInt64?,
            _ backing: Hole.Backing, _ guest: GuestActivity
        ) {
            (self.start, self.size, self.certain, self.atMost) = (start, size, certain, atMost)
            (self.backing, self.guest) = (backing, guest)
        }

        init(_ hole: Hole) {
            self.init(
                hole.start.rawValue, hole.size.rawValue, hole.certainNanoseconds,
                hole.atMostNanoseconds, hole.backing, hole.guest)
            verdict = hole.verdict
        }
    }

    @Test("1 GiB between two calls of 11 ms each")
    func minimal() throws {
        let report = try report("min-hole-between.log")
        #expect(report.absences.map(Row.init) == [Row(0, 1 << 30, 0, 22_000_000, .same, .unknown)])
        #expect(report.headline == "1 GiB of guest memory was missing for at most 22.0 ms")
    }

    @Test("the durations of slow calls count")
    func slow() throws {
        #expect(
            try report("slow-calls-T.log").absences.map(Row.init) == [
                Row(0x8000_0000, 512 << 20, 100_000, 42_100_000, .same, .running),
                Row(0xa000_0000, 512 << 20, 21_100_000, 63_100_000, .same, .running),
            ])
        #expect(
            try report("fast-calls-T.log").absences.map(Row.init) == [
                Row(0x8000_0000, 512 << 20, 84_000, 116_000, .same, .running),
                Row(0xa000_0000, 512 << 20, 184_000, 216_000, .same, .running),
            ])
    }

    @Test("a window that comes back on other memory, while a vCPU runs")
    func blob() throws {
        let rows = try report("blob-remap.log").absences.map(Row.init)
        #expect(rows == [Row(0x2_8000_0000, 16 << 20, 0, nil, .other, .running)])
    }

    @Test("without times a hole has no duration")
    func noTimes() throws {
        let rows = try report("min-no-times.log").absences.map(Row.init)
        #expect(rows == [Row(0, 1 << 30, nil, nil, .same, .unknown)])
    }

    @Test("a vCPU that the log shows wholly, and that is out, is out; the rest is a removal")
    func shown() throws {
        let report = try report("vcpu-plus.log")
        #expect(report.absences.map(Row.init) == [Row(0, 640 << 10, 0, nil, .same, .notRunning)])
        #expect(report.removedBytes == 384 << 10)
    }

    @Test("a reflag is no hole, and its row shows that a vCPU ran")
    func reflag() throws {
        let report = try report("reflag-running.log")
        #expect(report.headline == "no memory was missing")
        #expect(report.scenario.transactions.map(\.audit.guestDuringTransaction).last == .running)
    }

    @Test("a move that is not back is a removal, and stacks between the calls don't matter")
    func removal() throws {
        let report = try report("stacks-k.log")
        #expect(report.headline == "no memory was missing")
        #expect(report.removedBytes == 8192)
        #expect(report.counts[.slotCalls] == 3)
    }

    @Test("a wrapped mail is joined")
    func wrapped() throws {
        let report = try report("wrapped-mail.log")
        #expect(report.counts[.joinedLines] == 4)
        #expect(
            report.scenario.finalSlots.first?.map(\.size.rawValue) == [1 << 30, 4096])
        #expect(report.text.contains("4 wrapped lines joined"))
    }

    @Test(
        "no negative without a proof",
        arguments: [
            ("cut-fields.log", "2 slot calls cut off"),
            ("attach-midway.log", "the slots before line 2 are not known"),
            ("region2-mixed-real.log", "1 slot call printed as a pointer (line 3)"),
            ("qemu-trace-new.log", "the slots before line 1 are not known"),
        ])
    func unproven(file: String, reason: String) throws {
        let report = try report(file)
        #expect(report.unknownBecause.joined().contains(reason))
        #expect(!report.text.contains("no memory was missing"))
    }

    @Test("one page in two address spaces is one page")
    func spaces() throws {
        var log = LogWriter()
        log.createVM(5)
        for space in [0, 0x1_0000] { log.set(5, space, at: 0, size: 1 << 30) }
        for space in [0, 0x1_0000] { log.set(5, space, at: 0, size: 0) }
        for space in [0, 0x1_0000] { log.set(5, space, at: 0, size: 1 << 30) }
        let report = try imported(log.text).report
        #expect(report.absences.count == 2)
        #expect(report.missing.rawValue == 1 << 30)
    }

    @Test("a thread that returned to the guest may have been asked to: unclear")
    func unclear() throws {
        var log = LogWriter()
        log.createVM(5)
        log.line(5, "ioctl(9, KVM_CREATE_VCPU, 0) = 13")
        log.set(5, 0, at: 0, size: 0x1000)
        log.run(5)
        log.set(5, 0, at: 0, size: 0)
        log.run(5)
        log.set(5, 0, at: 0, size: 0x1000)
        let report = try imported(log.text).report
        #expect(report.absences.map(\.verdict) == [.unclear])
        #expect(report.absences.map(\.guest) == [.running])
        #expect(report.headline.contains("the guest may have asked for"))
        #expect(!report.headline.contains("no memory was missing"))
    }

    @Test("a byte that both places of a moved slot share is never missing")
    func moved() throws {
        var log = LogWriter()
        log.createVM(5)
        log.set(5, 0, at: 0, size: 0x4000, backing: 0x7f00_0000_0000)
        log.set(5, 0, at: 0x1000, size: 0x4000, backing: 0x7f00_0000_0000)
        log.set(5, 0, at: 0, size: 0x4000, backing: 0x7f00_0000_0000)
        let holes = try imported(log.text).report.absences
        #expect(holes.map(\.start.rawValue) == [0])
        #expect(holes.map(\.size.rawValue) == [0x1000])
    }

    @Test("where the clock is set back, times are unknown")
    func clock() throws {
        var log = LogWriter()
        log.createVM(5)
        log.set(5, 0, at: 0, size: 0x1000)
        log.set(5, 0, at: 0, size: 0)
        log.microseconds -= 5_000_000
        log.set(5, 0, at: 0, size: 0x1000)
        let report = try imported(log.text).report
        #expect(report.absences.map(\.certainNanoseconds) == [0])
        #expect(report.absences.map(\.atMostNanoseconds) == [nil])
        #expect(report.text.contains("the clock was set back"))
    }

    @Test("whole seconds give a range")
    func coarse() throws {
        let lines = [("10:00:00", 0x1000), ("10:00:10", 0), ("10:00:20", 0x1000), ("10:00:30", 0)]
        let log = lines.map { time, size in
            "7 \(time) ioctl(9, KVM_SET_USER_MEMORY_REGION, "
                + "\(LogWriter.region(0, 0, UInt64(size)))) = 0 <0.500000>\n"
        }.joined()
        let hole = try #require(imported(log).report.absences.first)
        #expect(hole.certainNanoseconds == 8_500_000_000)
        #expect(hole.atMostNanoseconds == 11_500_000_000)
    }
}
