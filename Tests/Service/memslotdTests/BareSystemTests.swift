import Foundation
import Glibc
import MemslotProtocol
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "programs on a system without /proc", .serialized,
    .enabled(if: BareSystem.isPossible, "needs root, unshare, and the built programs"))
struct BareSystemTests {
    @Test(
        "they have their arguments",
        arguments: [Executable.memslotd, Executable.memslotctl, Executable.memslotLab])
    func arguments(program: String?) throws {
        let program = try #require(program)
        let outcome = try BareSystem.run([program, "--version"])
        #expect(outcome.status == 0)
        #expect(outcome.output.wholeMatch(of: /\d+\.\d+\.\d+.*\n/) != nil, "\(outcome)")
        let wrong = try BareSystem.run([program, "--no-such-option"])
        #expect(wrong.status == 64)
        #expect(wrong.errors.contains("no-such-option"))
    }
}

private enum BareSystem {
    static let unshare = BuiltProducts.tool("unshare")
    static var isPossible: Bool { geteuid() == 0 && unshare != nil && Executable.areBuilt }

    static func run(_ words: [String]) throws -> CommandRun.Outcome {
        let directory = try ScratchDirectory()
        return try CommandRun(
            ["--mount", "/bin/sh", "-c", "umount -l /proc && exec \"$@\"", "sh"] + words,
            program: unshare, in: directory.path
        ).outcome()
    }
}
