import TestSupport
import Testing

@Suite(
    "memslot-lab crash",
    .enabled(
        if: Executable.areBuilt && Executable.memslotLab != nil, "the executables are not built"))
struct CrashTests {
    @Test(
        "a daemon that is killed at random moments loses nothing", arguments: ["simulated", "auto"])
    func underLoad(backend: String) throws {
        let scratch = try ScratchDirectory()
        let arguments = ["crash", "--rounds", "12", "--backend", backend]
        let outcome = try CommandRun(arguments, program: Executable.memslotLab, in: scratch.path)
            .outcome()
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("12 kills under load, 3 while starting"))
        #expect(outcome.output.contains("0 faults"))
    }
}
