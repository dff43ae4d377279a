import Foundation
import TestSupport
import Testing

@Suite(
    "the commands that moved to memslot-lab",
    .enabled(if: Executable.memslotctl != nil, "memslotctl is not built"))
struct LabAliasTests {
    /// A folder with a copy of memslotctl, and beside it `lab` as memslot-lab.
    private func folder(lab: String?) throws -> ScratchDirectory {
        let folder = try ScratchDirectory()
        let program = try #require(Executable.memslotctl)
        try FileManager.default.copyItem(atPath: program, toPath: folder.path("memslotctl"))
        if let lab {
            let path = try folder.write(lab.utf8, to: "memslot-lab")
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        }
        return folder
    }

    private static let names = [
        "conform", "torture", "sweep", "exhaust", "simulate", "load", "crash",
    ]

    @Test("each executes the memslot-lab beside memslotctl, with its words and its exit status")
    func executes() throws {
        let folder = try folder(lab: "#!/bin/sh\nfor word; do echo \"<$word>\"; done\nexit 7\n")
        for name in Self.names {
            let words = [name, "--seconds", "1", "--help", "--", "two words", ""]
            let run = try CommandRun(words, program: folder.path("memslotctl"), in: folder.path)
            let outcome = try run.outcome()
            #expect(outcome.status == 7, "\(name): \(outcome.errors)")
            #expect(outcome.output == words.map { "<\($0)>\n" }.joined(), "\(name)")
        }
    }

    @Test("without a memslot-lab each fails, and prints the command that builds it")
    func isMissing() throws {
        let folder = try folder(lab: nil)
        for name in Self.names {
            let run = try CommandRun([name], program: folder.path("memslotctl"), in: folder.path)
            let outcome = try run.outcome()
            #expect(outcome.status == 1)
            #expect(outcome.output.isEmpty)
            #expect(
                outcome.errors.contains("\(folder.path)/memslot-lab: can't be executed: ENOENT"))
            #expect(outcome.errors.contains("swift build -c release --product memslot-lab"))
        }
    }

    @Test("the help does not list them")
    func areHidden() throws {
        let folder = try ScratchDirectory()
        let help = try CommandRun(["--help"], in: folder.path).outcome().output
        #expect(help.contains("submit"))
        for name in Self.names { #expect(!help.contains("  \(name)"), "\(name)") }
    }
}
