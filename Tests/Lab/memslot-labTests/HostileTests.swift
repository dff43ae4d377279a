import TestSupport
import Testing

@Suite(
    "memslot-lab hostile",
    .enabled(
        if: Executable.areBuilt && Executable.memslotLab != nil, "the executables are not built"),
    .enabled(if: BuiltProducts.tool("python3") != nil, "needs python3"))
struct HostileTests {
    @Test("what a daemon reports in the midst of attacks is what a model and the kernel have")
    func holds() throws {
        let folder = try ScratchDirectory()
        // Each attack comes up in these steps: the run ends by itself after them.
        let command = ["hostile", "--seed", "7", "--seconds", "600", "--steps", "60"]
        let outcome = try CommandRun(command, program: Executable.memslotLab, in: folder.path)
            .outcome()
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("60 steps"))
        #expect(outcome.output.contains("SIGTERM ended the daemon"))
    }

    @Test("a run that can't begin ends with status 2")
    func noDaemon() throws {
        let folder = try ScratchDirectory()
        let command = ["hostile", "--socket", folder.path("none")]
        let outcome = try CommandRun(command, program: Executable.memslotLab, in: folder.path)
            .outcome()
        #expect(outcome.status == 2, "\(outcome.output)\(outcome.errors)")
    }
}
