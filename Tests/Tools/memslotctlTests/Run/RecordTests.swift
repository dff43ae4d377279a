import Foundation
import TestSupport
import Testing

@Suite(
    "run --record",
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct RecordTests {
    @Test("a VMM's calls are a scenario that can be replayed")
    func replays() throws {
        let file = Workbench.file("split.jsonl")
        let run = Finished(vmm: ["split", "20"], under: ["--record", file])
        #expect(run.status == 0, "\(run.errors)")
        // 2 to begin with, 3 a split, 3 a merge.
        let calls = text(file).components(separatedBy: "\"memory_size\"").count - 1
        #expect(calls == 2 + 20 * 6)
        #expect(text(file).contains("\"thread\""))
        let replay = Finished(running: Workbench.memslotctl ?? "", ["replay", file])
        #expect(replay.status == 0, "\(replay.output) \(replay.errors)")
    }

    @Test("a transaction ends where the vCPU's thread enters the guest")
    func boundaries() throws {
        let file = Workbench.file("exit.jsonl")
        // No pause ends a transaction, however busy the machine is.
        let run = Finished(vmm: ["exit", "10"], under: ["--record", file, "--gap-ms", "600000"])
        #expect(run.status == 0, "\(run.errors)")
        // The two slots of the beginning, then a split or a merge at each exit.
        #expect(text(file).components(separatedBy: "memslots.submit").count - 1 == 11)
        #expect(text(file).contains("\"recordedOperations\":3,"))
    }

    @Test(
        "failed calls are recorded, and raw calls conform to the kernel",
        .enabled(if: Executable.memslotLab != nil, "memslot-lab is not built"))
    func failures() throws {
        let file = Workbench.file("errors.jsonl")
        let raw = Workbench.file("errors.raw.jsonl")
        let picture = Workbench.file("errors.svg")
        let run = Finished(
            vmm: ["errors"], under: ["--record", file, "--raw", raw, "--svg", picture])
        #expect(run.status == 0, "\(run.errors)")
        // One call is at the last guest address, and ends before it starts.
        #expect(text(picture).contains("</svg>"))
        #expect(run.output == Finished(vmm: ["errors"]).output)
        #expect(text(file).contains("refused: EEXIST"))
        for options in [["--backend", "simulated"], ["--against", "kvm"]] {
            let conform = Finished(
                running: Executable.memslotLab ?? "", ["conform"] + options + [raw])
            #expect(conform.status == 0, "\(options): \(conform.errors)")
        }
        // A recording that is not KVM's.
        let wrong = Workbench.file("wrong.raw.jsonl")
        try text(raw).replacingOccurrences(of: "EEXIST", with: "EINVAL")
            .write(toFile: wrong, atomically: true, encoding: .utf8)
        let conform = Finished(
            running: Executable.memslotLab ?? "", ["conform", "--against", "kvm", wrong])
        #expect(conform.status == 1)
        #expect(conform.errors.contains("expected EINVAL, got EEXIST"), "\(conform.errors)")
    }

    @Test("a run that is longer than there is room for has exact totals, and a record to replay")
    func long() throws {
        let file = Workbench.file("long.jsonl")
        let options = ["--room", "256", "--report=summary"]
        for more in [[], ["--record", file], ["--atomic", "--record", file]] {
            let run = Finished(vmm: ["split", "300"], under: options + more)
            #expect(run.status == 0, "\(run.errors)")
            #expect(run.errors.contains("vmm: \(2 + 300 * 6) calls"), "\(run.errors)")
            #expect(run.errors.contains("between the first and the newest were not kept"))
            #expect(!run.errors.contains("missing"), "\(run.errors)")
            if more.isEmpty { continue }
            let replay = Finished(running: Workbench.memslotctl ?? "", ["replay", file])
            #expect(replay.status == 0, "\(replay.output) \(replay.errors)")
            let report = Finished(running: Workbench.memslotctl ?? "", ["report", file]).output
            #expect(report.contains("not kept") == text(file).contains("lostRecords"), "\(report)")
            #expect(!report.contains("contradict"), "\(report)")
        }
    }

    @Test("the report of a record of --atomic is that of the run, and one that is cut says less")
    func commits() throws {
        let (report, file) = (Workbench.file("atomic.report"), Workbench.file("atomic.jsonl"))
        // Each change ends with a call that uses memory, so that it is a commit on a busy machine too.
        let run = Finished(
            vmm: ["holds", "20", "1", "running"],
            under: ["--atomic", "--report-file", report, "--record", file])
        #expect(run.status == 0, "\(run.errors)")
        // The live one numbers all records, a record only its calls: columns may be wider.
        func unnumbered(_ text: String) -> [String] {
            text.replacing(/\s+\d+-\d+\s+/, with: " ").replacing(#/ +/#, with: " ")
                .components(separatedBy: "\n")
        }
        func reported() -> String {
            Finished(running: Workbench.memslotctl ?? "", ["report", file]).output
        }
        #expect(unnumbered(reported()) == unnumbered(text(report)))
        #expect(text(report).contains("what the kernel saw while vCPUs were held:"))
        #expect(text(report).contains("vCPUs held for "))

        var lines = text(file).components(separatedBy: "\n").filter { !$0.isEmpty }
        #expect(lines.removeLast().contains("\"totals\""))
        func cut(_ lines: [String]) throws -> String {
            try (lines.joined(separator: "\n") + "\n")
                .write(toFile: file, atomically: true, encoding: .utf8)
            return reported()
        }
        // Of memslotctl, killed before the end: signals are not known.
        #expect(text(report).contains(" kicks, "))
        let killed = try cut(lines)
        #expect(!killed.contains(" kicks, ") && killed.contains("vCPUs held for "), "\(killed)")
        // Of a version that wrote no commits: nothing is said of them.
        let old = try cut(lines.filter { !$0.contains("\"commit\"") })
        #expect(!old.contains("made in") && old.contains("would have been missing"), "\(old)")
    }

    @Test("if memslotctl is killed the VMM goes on, and the record has what was over by then")
    func abandoned() throws {
        let file = Workbench.file("abandoned.jsonl")
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: Workbench.memslotctl ?? "")
        process.arguments = [
            "run", "--record", file, "--", Workbench.vmm ?? "", "split", "1000000",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        try waitUntil("a record") {
            text(file).components(separatedBy: "memslots.submit").count > 4 || !process.isRunning
        }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        // The VMM is in memslotctl's group.
        #expect(kill(-process.processIdentifier, 0) == 0)
        kill(-process.processIdentifier, SIGKILL)
        for command in ["report", "replay"] {
            let reader = Finished(running: Workbench.memslotctl ?? "", [command, file])
            #expect(reader.status == 0, "\(reader.output) \(reader.errors)")
        }
    }

    @Test("a record that can't be written is a failure, before the VMM runs or at the end")
    func unwritable() {
        let early = Finished(vmm: ["split", "2"], under: ["--record", "/nonexistent/record"])
        #expect(early.status == 2 && early.output.isEmpty, "\(early.errors)")
        let late = Finished(vmm: ["split", "2"], under: ["--record", "/dev/full"])
        #expect(late.status == 1 && !late.output.isEmpty, "\(late.errors)")
        #expect(late.errors.contains("/dev/full: can't be written: ENOSPC"))
    }

    @Test(
        "memory for which the guest left by MMIO is a hole while a vCPU ran; --atomic has neither",
        .timeLimit(.minutes(5)))
    func spurious() throws {
        let report = Workbench.file("report")
        let bare = Finished(vmm: ["split", "50"], under: ["--report-file", report])
        let holes = runningHoles(ofKernelIn: text(report))
        #expect(!bare.output.hasPrefix("mmio 0 "))
        #expect(holes.contains { $0.hasPrefix("0x100000-0x10") }, "\(bare.output)")
        let atomic = Finished(vmm: ["split", "50"], under: ["--atomic", "--report-file", report])
        #expect(atomic.output.hasPrefix("mmio 0 "), "\(atomic.errors)")
        #expect(runningHoles(ofKernelIn: text(report)) == [], "\(text(report))")
    }

    @Test("the record outlives a VMM that is killed")
    func killed() throws {
        let file = Workbench.file("kill.jsonl")
        let run = Finished(vmm: ["kill"], under: ["--record", file])
        #expect(run.status == 137)
        #expect(text(file).components(separatedBy: "\"memory_size\"").count - 1 == 5)
    }

    @Test("the report lists holes and the vCPUs in the guest")
    func report() throws {
        let picture = Workbench.file("split.svg")
        // No pause ends a transaction, however busy the machine is.
        let run = Finished(
            vmm: ["exit", "20"], under: ["--report", "--svg", picture, "--gap-ms", "600000"])
        #expect(
            run.errors.contains("64 KiB of guest memory was missing")
                && run.errors.contains("while a vCPU was in the guest"), "\(run.errors)")
        #expect(
            run.errors.contains("the same memory   running  hole")
                || run.errors.contains(
                    "the same memory  running  hole")
        )
        #expect(run.errors.contains("a call took"))
        #expect(text(picture).contains("<svg"))
    }

    @Test("slots that could be one, and what no huge page can back, are findings")
    func findings() throws {
        let run = Finished(vmm: ["kill"], under: ["--report"])
        #expect(run.errors.contains("slots 1 and 2 are adjacent and equal, and could be one"))
    }

    @Test("a child's VM is recorded beside its parent's")
    func child() throws {
        let file = Workbench.file("fork.jsonl")
        let run = Finished(vmm: ["fork"], under: ["--record", file])
        #expect(run.status == 0, "\(run.errors)")
        #expect(text(file).components(separatedBy: "vm.create").count - 1 == 2)
        #expect(!text(file).contains("\"errno\":\"EIO\""))
    }

    @Test("closed descriptors are forgotten")
    func reuse() throws {
        let run = Finished(vmm: ["reuse", "50"], under: ["--report"])
        #expect(run.output == "reused\n", "\(run.errors)")
    }
}

/// The rows of a report about memory that the kernel did not have while a vCPU ran.
func runningHoles(ofKernelIn report: String) -> [String] {
    // Under --atomic the VMM's own order of calls follows: what would have been missing.
    let kernel = report.components(separatedBy: "\nwhat the VMM asked for").first ?? ""
    return kernel.split(separator: "\n").map(String.init)
        .filter { $0.contains("  running  hole") }
}
