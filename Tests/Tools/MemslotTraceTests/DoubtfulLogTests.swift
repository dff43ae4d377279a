import MemslotScenario
import MemslotTrace
import Memslots
import Testing

/// "No memory was missing", and a vCPU that is `out`, are said only where nothing was overlooked.
@Suite("What a log may hide")
struct DoubtfulLogTests {
    private static func slot(_ time: String, size: Int, _ tail: String = "<0.000500>") -> String {
        "100 1700000000.\(time) ioctl(4, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, "
            + "guest_phys_addr=0x0, memory_size=\(size), userspace_addr=0x7f0000000000}) = 0 \(tail)\n"
    }

    /// A VM whose one vCPU is in the guest for 0.1 ms, and later loses a slot and gets it back.
    private static let start = """
        100 1700000000.000000 ioctl(3, KVM_CREATE_VM, 0) = 4
        100 1700000000.001000 ioctl(4, KVM_CREATE_VCPU, 0) = 5
        \(slot("010000", size: 4096))101 1700000000.011000 ioctl(5, KVM_RUN, 0) = 0 <0.0001>

        """
    private static let hole = slot("020000", size: 0) + slot("021000", size: 4096)

    private static let omitted = "[... 4213 lines omitted ...]\n"
    private static let resumed = "101 1700000000.022000 <... ioctl resumed>) = 0\n"

    @Test("without doubt it is said that no memory was missing, and that the vCPU was out")
    func certain() throws {
        #expect(try imported(Self.start).report.headline == "no memory was missing")
        #expect(try imported(Self.start + Self.hole).report.holes.map(\.guest) == [.notRunning])
    }

    @Test(
        "in doubt it is not said that no memory was missing",
        arguments: [
            ("100 1700000000.012000 ioctl(4, KVM_SE", "1 line that may show a call"),
            ("100 1700000000.012000 ioctl(4, 0x4020", "1 line that may show a call"),
            ("100 1700000000.012000 ioctl(4, KVM_SET_USER_MEMORY_REG\n", "1 line that may show"),
            ("100 1700000000.012000 ioc\n", "1 line that may show a call"),
            ("1700000000.012000 ioc\n", "1 line that may show a call"),
            ("101 1700000000.012000 ioctl(5, KVM_RUN, \n", "1 line that may show a call"),
            ("100 … KVM_SET_USER_MEMORY_REGION slot=0 size=0\n", "1 line that may show a call"),
            ("kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x0 gpa=0x0\n", "1 line that may show"),
            (resumed, "1 ioctl whose beginning is not in the log"),
            (omitted, "1 place where lines were left out"),
            ("<snip>\n", "1 place where lines were left out"),
            ("[...]\n", "1 place where lines were left out"),
            (
                "ioctl$KVM_SET_USER_MEMORY_REGION(r1, 0x4020ae46, &(0x7f0000000000)={0x3, 0x0, "
                    + "0x8000, 0x1000, &(0x7f0000001000/0x1000)=nil})\n",
                "1 slot call of a program, assumed to have succeeded"
            ),
        ])
    func doubtful(line: String, reason: String) throws {
        let headline = try imported(Self.start + line).report.headline
        #expect(headline.hasPrefix("no hole is certain; unknown because"), "\(headline)")
        #expect(headline.contains(reason), "\(headline)")
    }

    @Test("a line of another program, and a comment, cause no doubt")
    func others() throws {
        for text in [
            "SeaBIOS (version 1.16)\n", "# KVM_SET_USER_MEMORY_REGION\n", "\n", "read...\n",
        ] {
            #expect(try imported(Self.start + text).report.headline == "no memory was missing")
        }
    }

    @Test(
        "in doubt no vCPU is out",
        arguments: [
            (resumed, false), ("101 1700000000.016000 ioctl(5, KVM_RUN, \n", true),
            ("101 1700000000.016000 ioctl(5, KVM_RU\n", true), (omitted, true),
            // Printed late: it covers the whole hole.
            ("101 1700000000.011000 ioctl(5, KVM_RUN, 0) = 0 <0.02>\n", false),
        ])
    func vcpus(line: String, isBefore: Bool) throws {
        let log = Self.start + (isBefore ? line + Self.hole : Self.hole + line)
        #expect(try imported(log).report.holes.map(\.guest) == [.unknown])
    }

    @Test("threads of a log without thread numbers are not followed")
    func threads() throws {
        let clone = "clone(child_stack=0x7f, flags=CLONE_VM|CLONE_THREAD) = 4242\n"
        let plain = Self.start.replacing("100 1700000000", with: "1700000000")
            .replacing("101 1700000000", with: "1700000000")
        #expect(try imported(plain).report.headline == "no memory was missing")
        let headline = try imported(plain + "1700000000.030000 " + clone).report.headline
        #expect(headline.contains("1 thread started and not followed: record with strace -f"))
        let followed = try imported(Self.start + "100 1700000000.030000 " + clone).report.headline
        #expect(followed == "no memory was missing")
    }

    @Test("the files of strace -ff are one log, in the order of time")
    func threadFiles() throws {
        #expect(ThreadLogs.parts(of: "a/log.4711")?.thread == 4711)
        #expect(ThreadLogs.parts(of: "a/log.txt") == nil && ThreadLogs.parts(of: ".7") == nil)
        var logs = ThreadLogs()
        let lines = (Self.start + Self.hole).replacing("<0.0001>", with: "<0.02>")
            .split(separator: "\n")
        for thread in [100, 101] {
            let own = lines.filter { $0.hasPrefix("\(thread) ") }.map { $0.dropFirst(4) + "\n" }
            try logs.add(Array(own.joined().utf8), of: UInt32(thread))
        }
        let merged = String(decoding: logs.merged(), as: UTF8.self)
        #expect(try imported(merged).report.holes.map(\.guest) == [.running])
        var untimed = ThreadLogs()
        #expect(throws: UnusableInput.self) {
            try untimed.add(Array("ioctl(3, KVM_CREATE_VM, 0) = 4\n".utf8), of: 1)
        }
    }

    @Test("a line of strace -ff without a time, also the first, stays where it is")
    func untimedLines() throws {
        var logs = ThreadLogs()
        try logs.add(
            Array("strace: attached\n1700000000.2 b()\nplain\n0.5 c\n1700000000.4 d()\n".utf8),
            of: 1)
        try logs.add(Array("1700000000.1 a()\n1700000000.3 e()\n".utf8), of: 2)
        #expect(
            String(decoding: logs.merged(), as: UTF8.self).split(separator: "\n") == [
                "1 strace: attached", "2 1700000000.1 a()", "1 1700000000.2 b()", "1 plain",
                "1 0.5 c", "2 1700000000.3 e()", "1 1700000000.4 d()",
            ])
    }

    @Test("QEMU's event and its error line are one failure; an error line that repeats is another")
    func failures() throws {
        let event =
            "kvm_set_user_memory AddrSpace#0 Slot#3 flags=0x0 gpa=0x1000 size=0x1000 ua=0x1000 "
            + "guest_memfd=-1 guest_memfd_offset=0x0 ret=-17\n"
        let error =
            "kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION failed, slot=3, start=0x1000, "
            + "size=0x1000: File exists\n"
        #expect(try imported(event + error).report.counts.failedCalls == ["EEXIST": 1])
        #expect(try imported(error + error).report.counts.failedCalls == ["EEXIST": 2])
    }

    @Test("colours, a byte-order mark and a web page's spaces are read over")
    func dressed() throws {
        let dressed =
            "\u{feff}"
            + Self.start.replacing("ioctl(4, ", with: "\u{1b}[32mioctl\u{1b}[0m(4,\u{a0}")
        #expect(try imported(dressed).report.headline == "no memory was missing")
    }

    @Test("a call that contradicts the log has an unknown effect, not none")
    func contradiction() throws {
        let report = try imported(Self.slot("010000", size: 0)).report
        #expect(report.scenario.transactions.map(\.summary) == ["1 of unknown effect"])
        #expect(report.unchangedTransactions == 0)
    }
}
