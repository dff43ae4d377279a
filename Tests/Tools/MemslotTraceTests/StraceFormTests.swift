import MemslotTrace
import Memslots
import Testing

@Suite("Forms of an strace log")
struct StraceFormTests {
    /// A region with every member in `flags`' and `number`'s form.
    private func log(_ prefix: String, request: String, flags: String, hex: Bool) -> String {
        let address = hex ? "0xfffc0000" : "4294705152"
        let size = hex ? "0x40000" : "262144"
        let region =
            "{slot=\(hex ? "0x3" : "3"), flags=\(flags), guest_phys_addr=\(address), "
            + "memory_size=\(size), userspace_addr=0x7ff7b5200000}"
        return "\(prefix)ioctl(9, \(request), \(region)) = 0\n"
    }

    private func onlySlot(_ log: String) throws -> Memslot {
        try #require(imported(log).scenario.finalSlots.first?.first)
    }

    @Test(
        "a request is known by its name, its number, or both",
        arguments: [
            "KVM_SET_USER_MEMORY_REGION", "0x4020ae46",
            "0x4020ae46 /* KVM_SET_USER_MEMORY_REGION */",
            "_IOC(_IOC_WRITE, 0xae, 0x46, 0x20)", "KVM_OTHER or KVM_SET_USER_MEMORY_REGION",
            "KVM_SET_USER_MEMORY_REGION2", "0x40a0ae49",
            "0x40a0ae49 /* KVM_SET_USER_MEMORY_REGION2 */",
            "0x40a0ae49 /* _IOC(_IOC_WRITE, 0xae, 0x49, 0xa0) */",
        ], [true, false])
    func requests(request: String, hex: Bool) throws {
        let slot = try onlySlot(log("1 5.000001 ", request: request, flags: "0x2", hex: hex))
        #expect(slot.id == SlotID(3))
        #expect(slot.guestPhysicalAddress.rawValue == 0xfffc_0000)
        #expect(slot.size.rawValue == 0x40000)
        #expect(slot.userspaceAddress.rawValue == 0x7ff7_b520_0000)
        #expect(slot.flags == .readOnly)
    }

    @Test(
        "flags are names, numbers, or both",
        arguments: [
            ("0", 0), ("0x0", 0), ("KVM_MEM_LOG_DIRTY_PAGES", 1), ("0x2 /* KVM_MEM_READONLY */", 2),
            ("KVM_MEM_READONLY|KVM_MEM_LOG_DIRTY_PAGES", 3), ("3", 3),
            ("0x3 /* KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY */", 3), ("KVM_MEM_READONLY|0x1", 3),
        ])
    func flags(text: String, bits: UInt32) throws {
        let request = "KVM_SET_USER_MEMORY_REGION"
        let slot = try onlySlot(log("", request: request, flags: text, hex: false))
        #expect(slot.flags.rawValue == bits)
    }

    @Test(
        "the thread and the time stand in many forms",
        arguments: [
            ("12068 1795342772.147684 ", "12068"), ("[pid 12068] 1795342772.147684 ", "12068"),
            ("[pid  2068] 12:34:56.147684 ", "2068"), ("12068 12:34:56 ", "12068"),
            ("12068      0.000123 ", "12068"), ("12068 ", "12068"), ("", "-"),
            ("1795342772.147684 ", "-"), ("12:34:56.1 ", "-"), ("     0.000123 ", "-"),
            ("1795342772 ", "-"), ("12068 1795342772 ", "12068"),
            ("12068<qemu-system-x86> 12:34:56 ", "12068"),
            ("[pid 12068<CPU 0/KVM>] ", "12068"),
            ("12068 12:34:56.147684 (+     0.000019) ", "12068"),
            ("12068 12:34:56 [  16] [00007f12] ", "12068"), ("SeaBIOS [pid 12068] ", "12068"),
        ])
    func prefixes(prefix: String, thread: String) throws {
        let log = log(prefix, request: "KVM_SET_USER_MEMORY_REGION", flags: "0", hex: false)
        let transaction = try #require(imported(log).scenario.transactions.first)
        #expect(transaction.thread.description == thread)
        #expect(
            (transaction.time != nil)
                == (prefix.contains(".") || prefix.contains(":")
                    || prefix.contains("1795342772")))
    }

    @Test(
        "what strace adds to a call is passed over",
        arguments: [
            "ioctl(9<anon_inode:kvm-vm>, KVM_SET_USER_MEMORY_REGION, R) = 0",
            "ioctl(0x9, KVM_SET_USER_MEMORY_REGION, R) = 0x0",
            "ioctl(9, KVM_SET_USER_MEMORY_REGION, R)      = 0 <0.000021>",
            "ioctl(9, KVM_SET_USER_MEMORY_REGION, R) = 0 (INJECTED)\r",
        ])
    func decorations(form: String) throws {
        let text = form.replacing(", R)", with: ", \(LogWriter.region(1, 0, 4096)))")
        #expect(try imported(text + "\n").report.counts[.slotCalls] == 1)
    }

    @Test("signals, exits, other calls and other programs' words don't matter")
    func noise() throws {
        var log = LogWriter()
        log.text = "strace: Process 5 attached\n# qemu -m 1G\nSeaBIOS (version 1.16)\n\n"
        log.createVM(5)
        log.set(5, 0, at: 0, size: 4096)
        log.line(5, "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=5} ---")
        log.line(5, "write(2, \"ioctl(9, KVM_SET_USER_MEMORY_REGION, {slot=\", 44) = 44")
        log.line(5, "ioctl(1<TCP:[1->2]>, TCGETS, {c_iflag=ICRNL, ...}) = 0")
        log.line(5, "read(3, <unfinished ...>")
        log.line(5, "<... read resumed>\"\", 10) = ? ERESTARTSYS (To be restarted)")
        log.line(5, "<... ioctl resumed>) = 0")
        log.set(5, 1, at: 4096, size: 4096)
        log.line(5, "+++ exited with 0 +++")
        let result = try imported(log.text)
        #expect(result.callCounts == [2])
        #expect(result.report.counts[.unfinishedCalls] == 0)
    }

    @Test("-r counts from line to line, -tt goes past midnight")
    func clocks() throws {
        let relative = """
            7      0.000000 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(LogWriter.region(0, 0, 4096))) = 0
            7      0.008000 ioctl(9, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_MMU) = 1
            7      0.008000 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(LogWriter.region(1, 4096, 4096))) = 0

            """
        #expect(try imported(relative).callCounts == [1, 1])
        #expect(try imported(relative, gap: 16).callCounts == [2])
        let night = """
            7 23:59:59.999999 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(LogWriter.region(0, 0, 4096))) = 0
            7 00:00:00.000001 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(LogWriter.region(1, 4096, 4096))) = 0

            """
        #expect(
            try imported(night, gap: 0).scenario.transactions.last?.time?.rawValue
                == 86_400_000_001_000)
        #expect(try imported(night).callCounts == [2])
    }

    @Test("whole seconds cut only at what is surely a pause; no times, at none")
    func coarse() throws {
        func log(_ times: [String]) -> String {
            times.enumerated().map { index, time in
                "7 \(time)ioctl(9, KVM_SET_USER_MEMORY_REGION, "
                    + "\(LogWriter.region(index, UInt64(index) * 4096, 4096))) = 0\n"
            }.joined()
        }
        let seconds = try imported(log(["10:00:00 ", "10:00:01 ", "10:00:03 "]))
        #expect(seconds.callCounts == [2, 1])
        #expect(seconds.report.text.contains("whole seconds"))
        let none = try imported(log(["", "", ""]))
        #expect(none.callCounts == [3])
        #expect(none.report.text.contains("no times"))
        #expect(none.lines.contains { $0.contains("\"at line 1\"") })
    }

    @Test("without times a hole is reported with a ? for its duration")
    func unknownTimes() throws {
        let log = [(7, 0x2000), (8, 0), (8, 0x1000)].map { thread, size in
            "\(thread) ioctl(9, KVM_SET_USER_MEMORY_REGION, "
                + "\(LogWriter.region(0, 0, UInt64(size)))) = 0\n"
        }.joined()
        let text = try imported(log).report.text
        #expect(text.contains("4 KiB of guest memory was missing for an unknown time"))
        let rows = text.split(separator: "\n")
            .map { $0.split(separator: " ").joined(separator: " ") }
        #expect(rows.contains("# line thread calls what missing at most vCPU"))
        #expect(rows.contains("2 2 8 2 +1 -1 4 KiB unknown unknown"))
    }

    @Test("a thread keeps its place when strace begins to number it")
    func numbering() throws {
        let region = LogWriter.region
        let log = """
            1795342772.000000 ioctl(8, KVM_CREATE_VM, 0) = 9
            1795342772.000001 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(region(0, 0, 4096, "0", nil))) = 0
            strace: Process 101 attached
            [pid 101] 1795342772.000002 ioctl(9, KVM_CREATE_VCPU, 0) = 13
            [pid 100] 1795342772.000003 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(region(1, 4096, 4096, "0", nil))) = 0
            [pid 101] 1795342772.000004 +++ exited with 0 +++
            1795342772.000005 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(region(2, 8192, 4096, "0", nil))) = 0

            """
        let result = try imported(log)
        #expect(result.callCounts == [3])
        #expect(result.report.threads == [ThreadID(rawValue: 100)])
    }

    @Test("without strace's word on threads, a vCPU's thread is not taken for the first")
    func quietNumbering() throws {
        let region = LogWriter.region
        let log = """
            1.000000 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(region(0, 0, 4096, "0", nil))) = 0
            [pid 101] 0.000002 ioctl(13, KVM_RUN, 0) = 0
            [pid 100] 0.000003 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(region(1, 4096, 4096, "0", nil))) = 0

            """
        let result = try imported(log)
        #expect(result.callCounts == [2])
        #expect(result.report.threads == [ThreadID(rawValue: 100)])
    }
}
