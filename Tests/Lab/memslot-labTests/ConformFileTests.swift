import Foundation
import MemslotKVM
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslot-lab conform FILE on KVM",
    .enabled(
        if: Executable.areBuilt && Executable.memslotLab != nil
            && KVMSystem.unavailability() == nil,
        "needs /dev/kvm and the executables"))
struct ConformFileTests {
    private static func line(slot: Int, at address: String, _ errno: String) -> String {
        #"{"slot":\#(slot),"flags":0,"guest_phys_addr":"\#(address)","memory_size":4096,"#
            + #""userspace_addr":"0x10000","errno":\#(errno)}"#
    }

    private static func run(_ lines: [String], _ options: [String]) throws -> CommandRun.Outcome {
        let scratch = try ScratchDirectory()
        let file = try scratch.write(Array(lines.joined(separator: "\n").utf8), to: "calls")
        return try CommandRun(
            ["conform"] + options + [file], program: Executable.memslotLab,
            in: scratch.path
        ).outcome()
    }

    @Test(
        "what the host's limits decide differently is skipped by name, and nothing else",
        arguments: [["--backend", "kvm"], ["--against", "kvm"]])
    func skips(options: [String]) throws {
        // Of a host with 65,536 address spaces and 64 address bits, which does not exist.
        let recorded = [
            Self.line(slot: 0, at: "0x0", "null"),
            Self.line(slot: 0x7fff_0001, at: "0x0", "null"),
            Self.line(slot: 1, at: "0xffff000000000000", "null"),
            Self.line(slot: 2, at: "0x0", #""EEXIST""#),
        ]
        let fine = try Self.run(recorded, options)
        #expect(fine.status == 0, "\(fine.errors)")
        let skipped = fine.errors.split(separator: "\n").filter { $0.contains("skipped") }
        #expect(skipped.count == 2, "\(fine.errors)")
        #expect(skipped.first?.contains("calls:2: skipped") == true)

        let wrong = try Self.run(recorded + [Self.line(slot: 3, at: "0x0", #""EINVAL""#)], options)
        #expect(wrong.status == 1 && wrong.errors.contains("calls:5: expected"), "\(wrong.errors)")
    }
}
