import Foundation
import Glibc
import TestSupport
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

    @Test("a program that truncates the record ends, and memslotctl reports its run")
    func truncates() {
        let outcome = run(["/bin/sh", "-c", ": >\"$MEMSLOTS_RUN\"; exit 3"])
        #expect(outcome.errors.contains("Operation not permitted"))
        #expect(outcome.errors.contains("no slot call was recorded"))
        // dash exits with 2 after a redirection that failed.
        #expect(outcome.status == 2 || outcome.status == 3)
    }

    /// A copy of `true` that belongs to another user or has more rights; `nil` if the tests may not
    /// create one.
    private func privileged(_ owner: uid_t, mode: mode_t) -> String? {
        let copy = Workbench.file("privileged")
        guard (try? FileManager.default.copyItem(atPath: "/bin/true", toPath: copy)) != nil,
            chown(copy, owner, gid_t.max) == 0, chmod(copy, mode) == 0
        else { return nil }
        return copy
    }

    @Test(
        "a set-user-ID program of another user is refused before it runs",
        .enabled(if: geteuid() == 0, "only root can make one"))
    func setUserID() throws {
        let program = try #require(privileged(65_534, mode: 0o4755))
        let outcome = run([program])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("is set-user-ID: the dynamic linker preloads nothing"))
        #expect(outcome.errors.contains("Run it as its owner, or a copy without the bit"))
    }

    @Test(
        "a set-group-ID program is refused, without the advice to run it as its owner",
        .enabled(if: geteuid() == 0, "only root can make one"))
    func setGroupID() throws {
        let program = try #require(privileged(65_534, mode: 0o755))
        try #require(chown(program, 65_534, 65_534) == 0 && chmod(program, 0o2755) == 0)
        let outcome = run([program])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("is set-group-ID: the dynamic linker preloads nothing"))
        #expect(!outcome.errors.contains("owner"))
    }

    @Test("a set-user-ID program of the same user is preloaded")
    func ownSetUserID() throws {
        let program = try #require(privileged(geteuid(), mode: 0o4755))
        let outcome = run([program])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("no slot call was recorded"))
    }

    @Test("a missing program is reported")
    func missing() throws {
        #expect(run(["no-such-vmm"]).status == 2)
        #expect(run(["/no/such/vmm"]).errors.contains("ENOENT"))
    }

    @Test("a program that creates no VM ends normally")
    func other() throws {
        let outcome = run(["sh", "-c", "echo out; exit 5"])
        #expect(outcome.status == 5)
        #expect(outcome.output == "out\n")
        #expect(outcome.errors.contains("no slot call was recorded"))
    }

    @Test("a program that a signal ends gives memslotctl its number")
    func signalled() throws {
        #expect(run(["sh", "-c", "kill -9 $$"]).status == 137)
    }

    @Test("the library's path is one that the dynamic linker can read, in each folder")
    func libraryPath() throws {
        let library = try #require(BuiltProducts.path(of: "libmemslots-preload.so"))
        let folder = Workbench.file("with a blank")
        func run(naming path: String, in place: String, _ script: String) -> Finished {
            let words = "MEMSLOTS_PRELOAD='\(path)' '\(Workbench.memslotctl ?? "")' run -- "
            return Finished(running: "/bin/sh", ["-c", "cd '\(place)' && \(words)\(script)"])
        }
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        for name in ["p.so", "p:p.so"] {
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/\(name)", withDestinationPath: library)
        }
        #expect(run(naming: "\(folder)/p.so", in: "/", "true").errors.contains("at a blank"))
        #expect(run(naming: "./p:p.so", in: folder, "true").errors.contains("at a blank"))
        #expect(run(naming: "/no/p.so", in: "/", "true").errors.contains("/no/p.so: ENOENT"))
        // The linker reads it again in programs that have another working directory.
        let link = "\(UUID().uuidString).so"
        try FileManager.default.createSymbolicLink(
            atPath: "\(Workbench.folder)/\(link)", withDestinationPath: library)
        let moved = run(
            naming: "./\(link)", in: Workbench.folder, "sh -c 'cd /; sh -c \"exit 4\"; exit $?'")
        #expect(moved.status == 4)
        #expect(!moved.errors.contains("cannot be preloaded"), "\(moved.errors)")
    }

    @Test("a limit of a file's size is an error with its name, and no signal")
    func fileSize() {
        let run = "'\(Workbench.memslotctl ?? "")' run -- true"
        let outcome = Finished(
            running: "/bin/sh", ["-c", "(ulimit -f 0; \(run) 2>&1; echo $?) | cat"])
        #expect(outcome.output.contains("ulimit -f"), "\(outcome.output)")
        #expect(outcome.output.hasSuffix("\n2\n"))
    }

    @Test(
        "a file that can't be written is refused before the VMM starts",
        arguments: [
            "--record", "--raw", "--report-file", "--html", "--svg",
        ])
    func outputs(option: String) {
        let mark = Workbench.file("started")
        let run = Finished(
            running: Workbench.memslotctl ?? "",
            ["run", option, "/no/such/folder/x", "--", "touch", mark])
        #expect(run.status == 2)
        #expect(run.errors.contains("/no/such/folder/x: can't be written: ENOENT"))
        #expect(access(mark, F_OK) != 0)
    }

    @Test("one file for two outputs, and a report of no kind, are refused")
    func words() {
        let path = Workbench.file("both")
        for words in [["--record", path, "--html", path], ["--report=all"]] {
            let run = Finished(
                running: Workbench.memslotctl ?? "", ["run"] + words + ["--", "true"])
            #expect(run.status == 64)
            #expect(run.errors.contains(path) || run.errors.contains("'all'"), "\(run.errors)")
        }
    }

    @Test("a library of another kind is refused before the VMM starts")
    func foreignLibrary() {
        let mark = Workbench.file("started")
        let run = Finished(
            running: "/bin/sh",
            [
                "-c",
                "MEMSLOTS_PRELOAD=/etc/passwd '\(Workbench.memslotctl ?? "")' run -- touch \(mark)",
            ])
        #expect(run.status == 2)
        #expect(run.errors.contains("/etc/passwd is not the preload library"), "\(run.errors)")
        #expect(access(mark, F_OK) != 0)
    }
}
