import Foundation
import Testing

@Suite("run: what can't be preloaded", .enabled(if: Workbench.isBuilt, "needs the built library"))
struct ProgramFileTests {
    private func run(_ command: [String]) -> Finished {
        Finished(running: Workbench.memslotctl ?? "", ["run", "--report", "--"] + command)
    }

    @Test(
        "a statically linked program is refused before it runs",
        .enabled(if: Workbench.compiler != nil, "needs a C compiler"))
    func statically() throws {
        guard let program = Workbench.compile(static: true) else { return }
        let outcome = run([program, "errors"])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("is statically linked"))
        #expect(outcome.output.isEmpty)
    }

    @Test("a program that isn't there is told")
    func missing() throws {
        #expect(run(["no-such-vmm"]).status == 2)
        #expect(run(["/no/such/vmm"]).errors.contains("ENOENT"))
    }

    @Test("a program that makes no VM ends as it would")
    func other() throws {
        let outcome = run(["sh", "-c", "echo out; exit 5"])
        #expect(outcome.status == 5)
        #expect(outcome.output == "out\n")
        #expect(outcome.errors.contains("no slot call was recorded"))
    }

    @Test("a program that is ended by a signal ends memslotctl with its number")
    func signalled() throws {
        #expect(run(["sh", "-c", "kill -9 $$"]).status == 137)
    }
}
