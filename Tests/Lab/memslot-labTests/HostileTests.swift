import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslot-lab hostile",
    .enabled(
        if: Executable.areBuilt && Executable.memslotLab != nil, "the executables are not built"),
    .disabled("its own connection can wait behind the replies that its user does not read"))
struct HostileTests {
    @Test("a hostile user holds no more than the daemon counts")
    func holds() throws {
        let folder = try ScratchDirectory()
        let command = ["hostile", "--seconds", "5", "--seed", "7"]
        let outcome = try CommandRun(command, program: Executable.memslotLab, in: folder.path)
            .outcome()
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
        #expect(outcome.output.contains("steps"))
    }
}
