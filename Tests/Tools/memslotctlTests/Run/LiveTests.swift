import Foundation
import Glibc
import TestSupport
import Testing

@Suite(
    "run --socket", .serialized,
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct LiveTests {
    /// Runs a test of the VMM in C, watched from before its first call.
    private func watched(_ test: [String], _ options: [String]) -> (Finished, WatchedEvents) {
        let watch = LiveWatch()
        let run = Finished(
            running: Workbench.memslotctl ?? "",
            ["run", "--socket", watch.socket] + options + ["--"]
                + watch.command([Workbench.vmm ?? ""] + test))
        return (run, watch.finish())
    }

    @Test(
        "the live events agree with the report at the end", .timeLimit(.minutes(5)),
        arguments: [["split", "20"], ["exit", "10"], ["threads"], ["fork"], ["reuse", "5"]],
        [[], ["--atomic"], ["--record", "/dev/null", "--gap-ms", "1"]])
    func agrees(test: [String], options: [String]) throws {
        let (run, events) = watched(test, options + ["--report"])
        #expect(run.status == 0, "\(run.errors)")
        #expect(events.status == 0)
        let ended = try #require(events.ended)
        #expect(events.live.agree(with: ended), "\(events.live), \(ended)")
        #expect(ended.transactions > 0)
        #expect(run.errors.contains(" in \(ended.transactions) transaction"), "\(run.errors)")
    }

    @Test(
        "a vCPU in the guest during a hole is reported; under --atomic there is none",
        .timeLimit(.minutes(5)))
    func guest() throws {
        let bare = watched(["split", "20"], []).1
        #expect(bare.live.withHolesInGuest > 0)
        #expect(bare.transactions.allSatisfy { $0["commit"] == nil })
        let atomic = watched(["exit", "20"], ["--atomic"]).1
        #expect(atomic.live.withHoles > 0)
        #expect(atomic.live.withHolesInGuest == 0)
        #expect(atomic.transactions.dropLast().allSatisfy { $0["commit"] != nil })
        // The VMM may end before the commit of its last calls is recorded.
        let commits = atomic.events("memslots.committed").dropLast()
        #expect(commits.allSatisfy { $0["quiesced"] as? Bool == true })
    }

    @Test("--atomic is switched off and on between transactions", .timeLimit(.minutes(5)))
    func switched() throws {
        let vmm = Workbench.vmm ?? ""
        let name = vmm.split(separator: "/").last.map(String.init) ?? ""
        let socket = Workbench.file("switched")
        let report = Workbench.file("switched.txt")
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: Workbench.memslotctl ?? "")
        process.arguments =
            ["run", "--atomic", "--socket", socket, "--report-file", report, "--"]
            + [vmm, "split", "1000000"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        func memslotctl(_ words: String...) -> Finished {
            Finished(running: Workbench.memslotctl ?? "", words + ["--socket", socket])
        }
        try waitUntil("the socket") {
            memslotctl("atomic", "off").status == 0 || !process.isRunning
        }
        /// The last commits, by whether vCPUs were held.
        func held() -> [Bool] {
            memslotctl("history", name, "--json").output.components(separatedBy: "\"quiesced\":")
                .dropFirst().map { $0.hasPrefix("true") }
        }
        try waitUntil("calls beside the guest") { held().last == false || !process.isRunning }
        #expect(memslotctl("atomic", "on").output.hasSuffix("changes are atomic\n"))
        try waitUntil("a transaction") { held().last == true || !process.isRunning }
        process.terminate()
        process.waitUntilExit()
        #expect(process.terminationStatus == 128 + SIGTERM)
        #expect(text(report).contains(" made one by one beside the guest"), "\(text(report))")
        #expect(text(report).contains("\nwhat the kernel saw:\n"))
    }

    @Test(
        "each VM is created, changes by ordinary events, and is destroyed",
        .timeLimit(.minutes(5)))
    func mirror() throws {
        let watch = watched(["fork"], []).1
        let names = watch.events("vm.created").compactMap { $0["vm"] as? String }
        #expect(Set(names) == ["sh", "sh-2"])
        #expect(Set(watch.events("vm.destroyed").compactMap { $0["vm"] as? String }) == Set(names))
        for name in names {
            var generation = 0
            for commit in watch.events("memslots.committed") where commit["vm"] as? String == name {
                #expect(commit["previousGeneration"] as? Int == generation)
                generation = commit["generation"] as? Int ?? -1
            }
            let last = watch.transactions.last { $0["vm"] as? String == name }
            #expect(last?["generation"] as? Int == generation)
        }
    }

    @Test("peers can read, and change nothing", .timeLimit(.minutes(1)))
    func reading() throws {
        let socket = Workbench.file("socket")
        let go = Workbench.file("go")
        let program = Workbench.memslotctl ?? ""
        let ask = """
            while [ ! -S \(socket) ]; do sleep 0.01; done
            ctl() { \(program) "$@" --socket \(socket) 2>&1; echo "status $?"; }
            until ctl list | grep -q 'sh '; do sleep 0.01; done
            ctl list; ctl get sh; ctl history sh; ctl map --vm sh; ctl destroy sh; ctl create new; ctl dirty sh 1
            touch \(go)
            """
        let run = Finished(
            running: "/bin/sh",
            [
                "-c",
                "\(program) run --socket \(socket) -- sh -c '\(Workbench.vmm ?? "") waiting \(go)' & "
                    + ask + "\nwait",
            ])
        let asked = run.output.components(separatedBy: "status ").dropLast()
        let statuses = run.output.components(separatedBy: "status ").dropFirst().map(\.first)
        #expect(statuses == ["0", "0", "0", "0", "1", "1", "1"], "\(run.output) \(run.errors)")
        #expect(asked.count { $0.contains("may only read") } == 2, "\(run.output)")
        // The location of memory in another process is not sent, and no address is invented.
        #expect(asked[3].contains("hidden") && !asked[3].contains("hva"), "\(run.output)")
        #expect(run.output.contains("reads its dirty log itself"), "\(run.output)")
    }

    @Test("a watch of one VM by name sees the end of the run", .timeLimit(.minutes(1)))
    func byName() throws {
        let socket = Workbench.file("socket")
        let (go, watched) = (Workbench.file("go"), Workbench.file("watched"))
        let program = Workbench.memslotctl ?? ""
        let run = Finished(
            running: "/bin/sh",
            [
                "-c",
                """
                \(program) run --socket \(socket) -- sh -c '\(Workbench.vmm ?? "") waiting \(go)' &
                while [ ! -S \(socket) ]; do sleep 0.01; done
                until \(program) list --socket \(socket) | grep -q 'sh '; do sleep 0.01; done
                \(program) watch --json --socket \(socket) sh >\(watched) &
                watch=$!
                until grep -q vms \(watched); do sleep 0.01; done
                touch \(go)
                wait $watch; echo "status $?"; wait
                """,
            ])
        #expect(run.output.contains("status 0"), "\(run.output) \(run.errors)")
        #expect(text(watched).contains("run.ended"), "\(text(watched))")
    }

    @Test("if a server listens already, nothing is run", .timeLimit(.minutes(5)))
    func taken() throws {
        let watch = LiveWatch()
        let mark = Workbench.file("mark")
        let program = Workbench.memslotctl ?? ""
        let second = "\(program) run --socket \(watch.socket) -- touch \(mark)"
        let run = Finished(
            running: program,
            ["run", "--socket", watch.socket, "--"]
                + watch.command(["/bin/sh", "-c", "\(second); echo status $?"]))
        _ = watch.finish()
        #expect(run.output.contains("status 2"), "\(run.output)")
        #expect(run.errors.contains("another server listens here"), "\(run.errors)")
        #expect(access(mark, F_OK) != 0)
    }
}
