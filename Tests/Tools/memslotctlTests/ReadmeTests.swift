import Foundation
import TestSupport
import Testing

@Suite("the README's commands", .enabled(if: Executable.areBuilt, "needs the built programs"))
struct ReadmeTests {
    /// The command of the README that begins with `start`, run in the checkout with the programs of
    /// this build.
    private func run(
        _ start: String, changed: (String) -> String = { $0 }
    ) throws -> CommandRun.Outcome {
        let readme = try String(contentsOf: Repository.url("README.md"), encoding: .utf8)
            .replacing("\\\n", with: "")
        let line = try #require(
            readme.split(separator: "\n").first { $0.hasPrefix(".build/release/\(start)") })
        let programs = URL(filePath: try #require(Executable.memslotctl))
            .deletingLastPathComponent().path
        let command = changed(String(line).replacing(".build/release", with: programs))
        let scratch = try ScratchDirectory()
        return try CommandRun(
            ["-c", "cd '\(Repository.root().path)' && \(command)"], program: "/bin/sh",
            in: scratch.path
        ).outcome()
    }

    @Test("the picture is what its command draws")
    func picture() throws {
        let scratch = try ScratchDirectory()
        let picture = "Docs/data/q35-seabios-boot.svg"
        let outcome = try run("memslotctl map") {
            $0.replacing(picture, with: scratch.path("svg"))
        }
        #expect(outcome.status == 0, "\(outcome.errors)")
        let drawn = try String(contentsOfFile: scratch.path("svg"), encoding: .utf8)
        #expect(drawn == (try String(contentsOf: Repository.url(picture), encoding: .utf8)))
    }

    @Test(
        "QEMU boots under run and ends, and no vCPU sees a hole",
        .enabled(if: Workbench.canRunQEMU, "needs /dev/kvm, qemu-system-x86_64 and the library"),
        .timeLimit(.minutes(10)))
    func qemu() throws {
        let outcome = try run("memslotctl run")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let kernel = try #require(
            outcome.errors.components(separatedBy: "what the kernel saw").dropFirst().first)
        #expect(outcome.errors.contains(/made in \d+ transactions; vCPUs held for/))
        #expect(!kernel.components(separatedBy: "\nwhat the VMM asked for")[0].contains("running"))
    }
}
