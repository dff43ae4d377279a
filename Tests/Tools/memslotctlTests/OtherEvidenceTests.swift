import Foundation
import TestSupport
import Testing

/// More evidence of the kinds of `Fixtures/field`, and input that is none.
@Suite(
    "Evidence of any shape, and bad input",
    .enabled(if: Executable.memslotctl != nil, "memslotctl is not built"))
struct OtherEvidenceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var lines: [String]
        var status: Int32 = 0
        var contains: [String]
        var lacks: [String] = []

        init(
            _ name: String, _ lines: [String], _ contains: [String], lacks: [String] = [],
            status: Int32 = 0
        ) {
            (testDescription, self.lines, self.status) = (name, lines, status)
            (self.contains, self.lacks) = (contains, lacks)
        }
    }

    private static let create = "ioctl(8, KVM_CREATE_VM, 0) = 9"
    private static let set = call(size: 1 << 20)
    private static let delete = call(size: 0)
    private static let missing = "1 MiB of guest memory was missing for "

    private static func call(size: Int, user: String = "0x7f0000000000") -> String {
        "ioctl(9, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, "
            + "memory_size=\(size), userspace_addr=\(user)})"
    }

    private static func event(_ size: String) -> String {
        "kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x0 gpa=0x0 size=\(size) ua=0x7f0000000000 "
            + "guest_memfd=-1 guest_memfd_offset=0x0 ret=0"
    }

    static let cases: [Case] = [
        Case(
            "small process numbers, padded with blanks",
            [
                "5418  10:00:00.000001 \(create)", "5418  10:00:00.000002 \(set) = 0",
                "541   10:00:00.000003 \(delete.dropLast()) <unfinished ...>",
                "5418  10:00:00.000103 getpid() = 5418",
                "541   10:00:00.000203 <... ioctl resumed>) = 0",
                "5418  10:00:00.000303 \(set) = 0 <0.000100>",
            ], [missing + "at most 400.0 µs", "5-6  100.0 µs  400.0 µs  the same memory"]),
        Case(
            "small process numbers in brackets",
            [
                "[pid  5418] \(create)", "[pid  5418] \(set) = 0", "[pid  5418] \(delete) = 0",
                "[pid   541] \(set) = 0",
            ], [missing + "an unknown time", "by 2 threads"]),
        Case(
            "a quoted mail",
            ["> 7 \(create)", "> 7 \(set) = 0", "> 7 \(delete) = 0", "> 7 \(set) = 0"],
            [missing, "4 lines read without the quotation mark"]),
        Case(
            "times relative to the line before, and CRLF",
            [
                "7 0.000000 \(create)\r", "7 0.000010 \(set) = 0\r", "7 0.000010 \(delete) = 0\r",
                "7 0.000500 \(set) = 0\r",
            ], [missing + "an unknown time", "3-4     0 ns  unknown"]),
        Case(
            "a log that begins in the middle", ["7 \(delete) = 0", "7 \(set) = 0"],
            ["the slots before line 1 are not known", "deletes slot 0, which no call before"],
            lacks: ["no memory was missing"]),
        Case(
            "a clock that is set back",
            [
                "7 1795342700.0 \(create)", "7 1795342700.1 \(set) = 0",
                "7 1795342700.2 \(delete) = 0", "7 1795342600.0 \(set) = 0",
            ], ["0 ns  unknown  the same memory", "the clock was set back"]),
        Case(
            "two VMs with one descriptor number, one of which ends",
            [
                "7 \(create)", "7 \(set) = 0", "8 \(create)", "8 \(set) = 0", "8 \(delete) = 0",
                "8 +++ exited with 0 +++", "7 \(delete) = 0", "7 \(set) = 0",
            ], ["on 2 VMs", missing, "1 MiB was removed and is not back"]),
        Case(
            "a process that is killed within a call",
            [
                "7 \(create)", "7 \(set) = 0", "7 \(delete.dropLast()) <unfinished ...>",
                "7 +++ killed by SIGKILL +++",
            ], ["1 slot call without a result"], lacks: ["no memory was missing"]),
        Case(
            "a log that is cut within a call",
            ["7 \(create)", "7 \(set) = 0", String("7 \(delete)".dropLast(30))],
            ["ends in the middle of a slot call"], lacks: ["no memory was missing"]),
        Case(
            "a user address from malloc",
            ["7 \(create)", "7 \(call(size: 4096, user: "0x7f0000000010")) = -1 EINVAL (Invalid)"],
            ["user address 0x7f0000000010 is not a multiple of 0x1000", "malloc does not"]),
        Case(
            "memory that is unmapped under a slot, and KVM_RUN",
            [
                "7 \(create)", "7 \(set) = 0", "7 munmap(0x7f0000001000, 4096) = 0",
                "7 \(delete) = 0", "7 ioctl(13, KVM_RUN, 0) = -1 EFAULT (Bad address)",
            ],
            [
                "line 5: KVM_RUN: EFAULT", "The log shows: line 3, munmap: user memory",
                "error: line 3, munmap: user memory 0x7f0000001000-0x7f0000001fff, behind "
                    + "0x1000-0x1fff of slot 0, is not mapped",
            ]),
        Case(
            "QEMU's event in its new form", [event("0x100000"), event("0x0"), event("0x100000")],
            [missing, "the slots before line 1 are not known"]),
        Case(
            "QEMU's event in its old form",
            [
                "kvm_set_user_memory Slot#3 flags=0x0 gpa=0x0 size=0x100000 ua=0x7f0000000000 "
                    + "ret=-17"
            ], ["slot 3 at 0x0-0xfffff: EEXIST", "Possible causes"]),
        Case(
            "a raw ioctl number",
            [
                "7 \(create)",
                "7 \(set.replacing("KVM_SET_USER_MEMORY_REGION", with: "0x4020ae46")) = 0",
            ],
            ["1 slot call by 1 thread", "no memory was missing"]),
        Case(
            "a log of KVM_RUN alone", ["7 ioctl(13, KVM_RUN, 0) = 0"],
            ["no hole is certain; unknown because the log shows no slot call of a VM"],
            lacks: ["no memory was missing"]),
        Case(
            "no text", ["\u{0}\u{1}\u{fffd} and no call"], ["What can be read: a log of strace"],
            status: 2),
        Case("nothing", [], ["What can be read: a log of strace"], status: 2),
    ]

    @Test("the right report", arguments: cases)
    func evidence(one: Case) throws {
        let scratch = try ScratchDirectory()
        let text =
            one.lines.joined(separator: "\n") + (one.testDescription.contains("cut") ? "" : "\n")
        let file = try scratch.write(text.utf8, to: "input.log")
        let result = try CommandRun(["report", file], in: scratch.path).outcome()
        let all = result.output + result.errors
        #expect(result.status == one.status, "\(all)")
        for wanted in one.contains { #expect(all.contains(wanted), "\(wanted) in:\n\(all)") }
        for other in one.lacks { #expect(!all.contains(other), "\(other) in:\n\(all)") }
    }

    /// The memory for data that the command may use: a quarter of its input.
    private static let limit = 8 << 20

    @Test(
        "input of four times the memory for data is read", .timeLimit(.minutes(5)),
        arguments: ["calls", "bytes", "line"])
    func bounded(kind: String) throws {
        let scratch = try ScratchDirectory()
        let part: [UInt8] =
            switch kind {
            case "calls":
                Array(
                    String(repeating: "11 1795342700.1 ioctl(13, KVM_RUN, 0) = 0\n", count: 8192)
                        .utf8)
            case "bytes": (0..<1 << 18).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
            default: Array(repeating: UInt8(ascii: "x"), count: 1 << 18)
            }
        let file = try scratch.write(
            repeatElement(part, count: 4 * Self.limit / part.count + 1).joined(), to: "input.log")
        let result = try CommandRun(
            [
                "-c", "ulimit -d \(Self.limit >> 10) && exec \"$0\" report \"$1\"",
                Executable.memslotctl ?? "", file,
            ], program: "/bin/sh", in: scratch.path
        ).outcome()
        // Not ended by a failed allocation.
        #expect(result.status == (kind == "calls" ? 0 : 2), "\(result.errors.prefix(400))")
    }
}
