import Foundation
import TestSupport
import Testing

/// What people post, each through the command that they would use.
@Suite(
    "Evidence from the field", .enabled(if: Executable.memslotctl != nil, "memslotctl is not built")
)
struct FieldTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var words: [String]
        var status: Int32 = 0
        var contains: [String]
        var lacks: [String] = []

        var testDescription: String { words.joined(separator: " ") }
    }

    private static let folder = Repository.url("Fixtures").appending(path: "field")

    private static func report(
        _ file: String, _ contains: [String], not lacks: [String] = [], status: Int32 = 0
    ) -> Case {
        Case(words: ["report", file], status: status, contains: contains, lacks: lacks)
    }

    static let cases: [Case] = [
        report(
            "min-hole-between.log",
            [
                "1 GiB of guest memory was missing for at most 22.0 ms",
                "0x0-0x3fffffff  1 GiB    3-4     0 ns  22.0 ms  the same memory  unknown  hole",
            ]),
        report(
            "slow-calls-T.log",
            [
                "100.0 µs  42.1 ms  the same memory  running  hole",
                "21.1 ms  63.1 ms  the same memory  running  hole",
            ]),
        report(
            "fast-calls-T.log",
            ["84.0 µs  116.0 µs", "184.0 µs  216.0 µs", "while a vCPU was in the guest"]),
        report("blob-remap.log", ["16 MiB", "other memory  running"]),
        report(
            "min-no-times.log", ["missing for an unknown time", "hole"],
            not: ["no memory was missing"]),
        report(
            "attach-midway.log", ["unknown because", "the slots before line 2 are not known"],
            not: ["no memory was missing"]),
        report("bit32.log", ["EEXIST", "slot 33 overlaps slot 0 at 0x0-0x1ffffff"]),
        report("cut-fields.log", ["2 slot calls cut off"], not: ["no memory was missing"]),
        report("only-einval.log", ["size 0x88c400 is not a multiple of 0x1000", "0x88d000"]),
        report(
            "qemu-error-line.log",
            ["slot 2 at 0xffc84000-0xffffffff", "Possible causes", "KVM_CAP_READONLY_MEM"]),
        report("qemu-trace-new.log", ["bytes 0xa0000-0xbffff of the file are bound to slot 0"]),
        report(
            "reflag-running.log",
            ["1 reflagged        -        -  running", "no memory was missing"]),
        report(
            "region2-mixed-real.log",
            ["memslotctl run --record", "1 of unknown effect", "640 KiB"],
            not: ["newer strace"]),
        report(
            "region2-pointer.log", ["memslotctl run --record", "2 of unknown effect"],
            not: ["without effect", "no memory was missing"]),
        report(
            "region2-real.log", ["memslotctl run --record", "no hole is certain"],
            not: ["newer strace"]),
        Case(
            words: ["import", "region2-real.log"], status: 2, contains: ["memslotctl run --record"],
            lacks: ["newer strace"]),
        report(
            "s390-9t-same-hva.log",
            ["slot 0 at 0x0-0x7ffffefffff", "map user memory 0x3ff00000000-"]),
        report(
            "stacks-k.log",
            ["3 slot calls", "no memory was missing", "8 KiB was removed and is not back"]),
        report("syzkaller-repro.log", ["1 slot call", "assumed to have succeeded"]),
        report("vcpu-plus.log", ["640 KiB of guest memory was missing", "out   hole"]),
        report("wrapped-mail.log", ["2 slot calls", "4 wrapped lines joined"]),
        report("diff-snapshot.jsonl", ["known only as whole arrays"]),
        Case(
            words: ["map", "vfio-ramd.mtree"],
            contains: ["0000:01:00.0 BAR 0 mmaps[0] +0x89000", "rules of any host"]),
        Case(
            words: ["plan", "crlf.mtree", "vfio-ramd.mtree"],
            contains: ["2 kernel calls, the fewest possible"]),
        Case(words: ["map", "tree-not-flat.mtree"], status: 2, contains: ["info mtree -f"]),
        Case(words: ["report", "tree-not-flat.mtree"], status: 2, contains: ["info mtree -f"]),
        Case(
            words: ["plan", "alias-ram.before.json", "phys-bits-39.jsonl"], status: 2,
            contains: [
                "39 address bits",
                "phys-bits-39.jsonl: 32764 slots, 1 address space, 39 guest bits",
            ]),
        Case(
            words: ["plan", "--guest-bits", "48", "alias-ram.before.json", "phys-bits-39.jsonl"],
            contains: ["and the options", "48 guest bits"]),
        Case(
            words: ["plan", "alias-ram.before.json", "many-could-be-one.jsonl"], status: 2,
            contains: ["which has room for 40"]),
        Case(
            words: [
                "plan", "--max-slots", "64", "alias-ram.before.json", "many-could-be-one.jsonl",
            ], contains: ["45 slots, 0 to 44, are adjacent and equal, and could be one"]),
        Case(
            words: ["plan", "alias-ram.before.json", "alias-ram.after.json"],
            contains: ["map user memory 0x7f0000000000-0x7f0001ffffff"]),
        Case(words: ["map", "span-two-slots.jsonl"], contains: ["2 slots, 2 GiB"]),
        Case(words: ["map", "memory-attributes.jsonl"], contains: ["1 slot, 2 GiB"]),
        Case(
            words: ["replay", "span-two-slots.jsonl"], status: 1,
            contains: ["a range is an element of addresses: {"]),
        Case(
            words: ["replay", "memory-attributes.jsonl"], status: 1,
            contains: ["nor another for it: memslots.submit makes guest ranges private"]),
        Case(words: ["replay", "diff-snapshot.jsonl"], contains: ["Memory of fc at the end"]),
        Case(words: ["explain", "only-einval.log"], contains: ["is not a multiple of 0x1000"]),
        Case(
            words: [
                "explain", "--errno", "EINVAL", "--slot", "65536", "--gpa", "0", "--size", "4096",
                "--hva", "0x7f0000000000",
            ], contains: ["address space 1 (the upper 16 bits)"]),
        Case(
            words: [
                "explain", "--errno", "EEXIST", "--slot", "5", "--gpa", "0x1000", "--size", "4096",
                "--hva", "0", "--array", "alias-ram.after.json",
            ], contains: ["overlaps slot 0 at 0x0-0x1ffffff"]),
        Case(
            words: [
                "explain", "--errno", "EEXIST", "--slot", "1", "--gpa", "0x1000", "--size", "4096",
                "--hva", "0", "--array", "alias-ram.after.json",
            ], contains: ["the slots shown here are not those that the call met"]),
        Case(
            words: ["explain", "kvm_set_phys_mem: error registering slot: File exists"],
            contains: ["EEXIST: the call's words are not known"], lacks: ["seccomp"]),
        Case(
            words: [
                "explain",
                "KVM_SET_USER_MEMORY_REGION failed, slot=65537, start=0xa0000, size=0x20000: Invalid argument",
            ], contains: ["Possible causes: slot=65537 is slot 1 of address space 1"]),
        Case(
            words: ["explain", "error: kvm run failed Bad address"],
            contains: ["KVM_RUN could not reach the user memory"]),
        report("phys-bits-39.jsonl", ["error: slot 6: 0x10000000000-0x10000ffffff ends past 39"]),
        report("many-could-be-one.jsonl", ["error: 45 of 40 slots are used"]),
        Case(
            words: [
                "explain",
                "ioctl(10, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, memory_size=5, userspace_addr=0}) = -1 EINVAL (Invalid argument)",
            ], contains: ["size 0x5 is not a multiple"]),
        Case(
            words: ["plan", "--json", "alias-ram.before.json", "alias-ram.after.json"],
            contains: [#""warnings":["warning: slot 0 at 0x0-0x1ffffff and slot 1"#]),
        Case(words: ["relpay", "x"], status: 64, contains: ["did you mean 'replay'?"]),
        Case(words: ["help", "nosuch"], status: 64, contains: ["there is no command 'nosuch'"]),
        Case(
            words: ["--color", "blue", "map", "x"], status: 64, contains: ["auto, always or never"]),
    ]

    /// Runs memslotctl; a word that names a file of the folder becomes its path.
    private func run(_ words: [String]) throws -> CommandRun.Outcome {
        let scratch = try ScratchDirectory()
        let words = words.map { word in
            let path = Self.folder.appending(path: word).path
            return word.contains(".") && FileManager.default.fileExists(atPath: path) ? path : word
        }
        return try CommandRun(words, in: scratch.path).outcome()
    }

    @Test("the right report", arguments: cases)
    func field(one: Case) throws {
        let result = try run(one.words)
        let text = result.output + result.errors
        #expect(result.status == one.status, "\(text)")
        for wanted in one.contains { #expect(text.contains(wanted), "\(wanted) in:\n\(text)") }
        for other in one.lacks { #expect(!text.contains(other), "\(other) in:\n\(text)") }
    }

    @Test("every file is in the table")
    func complete() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        let used = Set(Self.cases.flatMap(\.words))
        #expect(files.count == 30)
        #expect(files.filter { !used.contains($0) } == [])
    }

    @Test("an array that breaks a rule is drawn, and the status says so")
    func invalid() throws {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "invalid-\(UUID().uuidString).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try Data(
            #"[{"slot":1,"guestPhysicalAddress":0,"size":5,"userspaceAddress":0},{"slot":1,"guestPhysicalAddress":4096,"size":4096,"userspaceAddress":0}]"#
                .utf8
        ).write(to: file)
        let result = try run(["map", file.path])
        #expect(result.status == 2)
        #expect(result.errors.contains("size 0x5 is not a multiple of 4096"))
        #expect(result.errors.contains("rules of any host"))
        let call = ["--slot", "3", "--gpa", "0", "--size", "4096"]
        let explained = try run(["explain", "--errno", "EINVAL"] + call + ["--array", file.path])
        #expect(explained.status == 2)
        #expect(explained.errors.contains("size 0x5 is not a multiple of 4096"))
    }

    @Test("what is imported from a scenario keeps the limits of its VM, and where it is from")
    func limits() throws {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "limits-\(UUID().uuidString).jsonl")
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(try run(["import", "-o", file.path, "phys-bits-39.jsonl"]).status == 0)
        let text = try String(contentsOf: file, encoding: .utf8)
        #expect(text.contains("\"guestPhysicalBits\":39") && !text.contains("strace"), "\(text)")
        #expect(try run(["replay", file.path]).status == 1)
    }

    @Test("a record that is cut off is read up to there")
    func cutRecord() throws {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "cut-\(UUID().uuidString).jsonl")
        defer { try? FileManager.default.removeItem(at: file) }
        let whole = try Data(contentsOf: Repository.url("Fixtures/qemu/q35-reset.jsonl"))
        try whole.prefix(whole.count - 40).write(to: file)
        let result = try run(["report", file.path])
        #expect(result.status == 0)
        #expect(result.output.contains("1 slot call without a result"), "\(result.output)")
        #expect(result.output.contains("the log ends in the middle of a slot call"))
    }

    @Test("a number of slots that keeps growing is a finding")
    func trend() throws {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "trend-\(UUID().uuidString).log")
        defer { try? FileManager.default.removeItem(at: file) }
        var log = ""
        for slot in 0..<20 {
            log += "7 \(slot).000000 ioctl(9, KVM_SET_USER_MEMORY_REGION, {slot=\(slot), flags=0, "
            log += "guest_phys_addr=\(slot * 0x2000), memory_size=4096, "
            log += "userspace_addr=0x7f0000000000}) = 0\n"
        }
        try Data(log.utf8).write(to: file)
        let result = try run(["report", file.path])
        #expect(
            result.output.contains(
                "hint: the number of slots keeps growing: at most 10 in the first half of 20 "
                    + "transactions, at least 11 in the second, 20 at the end, of 32764"),
            "\(result.output)")
    }

    @Test("on a terminal no line is wider than it; in a pipe each line is whole")
    func narrow() throws {
        let program = try #require(Executable.memslotctl)
        let scratch = try ScratchDirectory()
        let words = "\(program) report \(Self.folder.path)/slow-calls-T.log"
        let terminal = try CommandRun(
            ["-qec", "stty cols 60; \(words)", "/dev/null"], program: "/usr/bin/script",
            in: scratch.path
        ).outcome()
        let lines = terminal.output.split(whereSeparator: \.isNewline)
        #expect(lines.count > 8)
        #expect(lines.allSatisfy { $0.count <= 60 }, "\(terminal.output)")
        let whole = try run(["report", "slow-calls-T.log"]).output
        #expect(
            lines.joined(separator: " ").split(separator: " ")
                == whole.split(whereSeparator: \.isWhitespace))
    }

    @Test("import -o writes the scenario, and prints the report alone")
    func output() throws {
        let file = FileManager.default.temporaryDirectory.appending(
            path: "import-\(UUID().uuidString).jsonl")
        defer { try? FileManager.default.removeItem(at: file) }
        let result = try run(["import", "-o", file.path, "min-hole-between.log"])
        #expect(result.status == 0)
        #expect(result.output.hasPrefix("min-hole-between: 3 slot calls"))
        #expect(!result.output.contains("{"))
        #expect(try String(contentsOf: file, encoding: .utf8).hasPrefix("{\"scenario\":"))
    }
}
