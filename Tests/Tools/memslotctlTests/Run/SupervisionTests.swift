import Foundation
import Glibc
import TestSupport
import Testing

@Suite(
    "run under supervision",
    .enabled(if: Workbench.canRunVMM, "needs /dev/kvm, a C compiler and the preload library"))
struct SupervisionTests {
    private static let canUnshare =
        Finished(running: "/usr/bin/unshare", ["--pid", "--fork", "--mount-proc", "true"]).status
        == 0

    @Test("SIGTERM and SIGHUP reach the VMM, and its exit status comes back", arguments: [1, 15])
    func signals(number: Int32) throws {
        let ready = Workbench.file("ready")
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: Workbench.memslotctl ?? "")
        process.arguments = ["run", "--atomic", "--", Workbench.vmm ?? "", "signalled", ready]
        process.standardError = FileHandle.nullDevice
        try process.run()
        try waitUntil(ready) { !process.isRunning || access(ready, F_OK) == 0 }
        kill(process.processIdentifier, number)
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 40 + number)
    }

    @Test("a signal that ends the VMM is the exit status, as in a shell")
    func killed() {
        #expect(Finished(vmm: ["kill"], under: ["--atomic"]).status == 128 + SIGKILL)
    }

    @Test(
        "runs as the first process of a PID namespace, in a session of its own",
        .enabled(if: canUnshare, "needs unshare and the right to use it"))
    func namespace() {
        let command = ["--pid", "--fork", "--mount-proc", "setsid", "--wait"]
        let run = Finished(
            running: "/usr/bin/unshare",
            command + [
                Workbench.memslotctl ?? "", "run", "--atomic", "--", Workbench.vmm ?? "", "exit",
                "20",
            ])
        #expect(
            run.output == "own mmio 0; mmio 0 errors 0 interruptions 1 lost 0\n", "\(run.errors)")
        #expect(run.errors.contains("calls asked"))
    }

    @Test("a VMM that goes into the background is waited for, and its record is whole")
    func background() throws {
        let file = Workbench.file("background.jsonl")
        let done = Workbench.file("done")
        let script = "(\"$0\" exit 20 >/dev/null; touch \(done)) & exit 3"
        let run = Finished(
            running: Workbench.memslotctl ?? "",
            ["run", "--record", file, "--", "/bin/sh", "-c", script, Workbench.vmm ?? ""])
        #expect(run.status == 3)
        #expect(access(done, F_OK) == 0)
        #expect(text(file).contains("memslots.submit"))
    }

    @Test(
        "with -daemonize it returns as QEMU does, as libvirt needs it, and reports in the background",
        .enabled(if: Workbench.canRunQEMU, "needs qemu-system-x86_64"))
    func daemonized() throws {
        let qmp = Line("probe")
        let report = Workbench.file("background.txt")
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: Workbench.memslotctl ?? "")
        process.arguments =
            ["run", "--atomic", "--report-file", report, "--", Workbench.qemu ?? ""]
            + [
                "-S", "-no-user-config", "-nodefaults", "-display", "none", "-machine",
                "pc,accel=kvm", "-daemonize", "-qmp", "unix:\(qmp.path)",
            ]
        // Cleared, as libvirt does; but .ci/mutate selects a mutation by a variable.
        process.environment = ProcessInfo.processInfo.environment
            .filter { $0.key == "MEMSLOTS_MUTATION" }
            .merging(["PATH": "/usr/bin:/bin", "HOME": "/"]) { $1 }
        let errors = Pipe()
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // Before QEMU ends: libvirt reads to the end of this, and waits for the status.
        let said = errors.fileHandleForReading.readDataToEndOfFile()
        #expect(!String(decoding: said, as: UTF8.self).contains("memslots"))
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(text(report).isEmpty)
        #expect(qmp.accept() && qmp.receive()?.contains("QMP") == true)
        qmp.send("{\"execute\":\"qmp_capabilities\"}")
        qmp.send("{\"execute\":\"query-kvm\"}")
        #expect(qmp.receive()?.contains("return") == true)
        #expect(qmp.receive()?.contains("\"enabled\": true") == true)
        qmp.send("{\"execute\":\"quit\"}")
        try waitUntil("the report") { text(report).contains(" calls asked, ") }
    }

    @Test("with --in-place the process that was started becomes the VMM, and the report is written")
    func inPlace() throws {
        let report = Workbench.file("in-place.txt")
        // Both shells print the number of their process.
        let run = Finished(
            running: "/bin/sh",
            [
                "-c",
                "echo $$; exec \"$0\" run --in-place --atomic --report-file \"$1\" -- "
                    + "/bin/sh -c 'echo $$; exec \"$0\" exit 20' \"$2\"",
                Workbench.memslotctl ?? "", report, Workbench.vmm ?? "",
            ])
        let lines = run.output.split(separator: "\n")
        try #require(lines.count == 3, "\(run.output) \(run.errors)")
        #expect(lines[0] == lines[1])
        #expect(lines[2] == "own mmio 0; mmio 0 errors 0 interruptions 1 lost 0")
        try waitUntil("the report") { text(report).contains(" calls asked, ") }
        #expect(Finished(vmm: ["kill"], under: ["--in-place"]).status == 128 + SIGKILL)
        let missing = Finished(
            running: Workbench.memslotctl ?? "", ["run", "--in-place", "--", "/nonexistent"])
        #expect(missing.status == 2 && missing.errors.contains("/nonexistent"))
        let unwritable = Finished(
            running: Workbench.memslotctl ?? "",
            ["run", "--in-place", "--record", "/nonexistent/x", "--", Workbench.vmm ?? "", "exit"])
        #expect(unwritable.status == 2 && unwritable.errors.contains("/nonexistent/x"))
    }

    @Test(
        "streams that are closed are not taken for the record",
        arguments: ["0<&-", "1>&-", "2>&-"])
    func closedStream(redirection: String) throws {
        let report = Workbench.file("closed.txt")
        let script =
            "\"$0\" run --in-place --atomic --report-file \"$1\" -- \"$2\" exit 20 \(redirection)"
        let run = Finished(
            running: "/bin/sh",
            ["-c", script, Workbench.memslotctl ?? "", report, Workbench.vmm ?? ""])
        #expect(run.status == 0, "\(run.errors)")
        try waitUntil("the report") { text(report).contains(" calls asked, ") }
    }

    @Test("a passed descriptor is open in the VMM alone", arguments: [[], ["--in-place"]])
    func passed(options: [String]) throws {
        // cat ends when the last copy of the pipe is closed.
        let script = """
            mkfifo "$2.pipe" "$2.go"
            { "$0" run \(options.joined(separator: " ")) -- "$1" passed 3 <"$2.go" 3>"$2.pipe"; } &
            exec 4>"$2.go"
            cat "$2.pipe"
            echo ended
            echo >&4
            wait
            """
        let run = Finished(
            running: "/bin/sh",
            [
                "-c", script, Workbench.memslotctl ?? "", Workbench.vmm ?? "",
                Workbench.file("passed"),
            ], seconds: 60)
        #expect(
            run.output == "closed\nended\n" || run.output == "ended\nclosed\n", "\(run.errors)")
    }

    @Test("words and variables that are no UTF-8 reach the VMM as they are")
    func bytes() {
        let script =
            "V=$(printf '\\351') \"$0\" run $1 -- /bin/sh -c 'printf %s \"$1$V\"' x \"$(printf '\\351')\" | od -An -tx1"
        for option in ["--record=/dev/null", "--in-place"] {
            let run = Finished(
                running: "/bin/sh", ["-c", script, Workbench.memslotctl ?? "", option])
            #expect(run.output.hasPrefix(" e9 e9"), "\(run.output)\(run.errors)")
        }
    }

    @Test("a program that can't open the record gets no VM under --atomic")
    func cutOff() {
        let run = Finished(
            running: Workbench.memslotctl ?? "",
            [
                "run", "--atomic", "--", "/usr/bin/env", "MEMSLOTS_RUN=atomic:/x",
                Workbench.vmm ?? "", "exit", "1",
            ])
        #expect(run.status != 0 && run.errors.contains("no VM without --atomic"), "\(run.errors)")
    }

    @Test("a VMM that would go into the background and can't start is a failure at once")
    func daemonizedFailure() {
        let missing = Finished(
            running: Workbench.memslotctl ?? "", ["run", "--", "/nonexistent", "-daemonize"])
        #expect(missing.status == 2 && missing.errors.contains("/nonexistent"))
        let failed = Finished(vmm: ["nonsense", "-daemonize"], under: [])
        #expect(failed.status == Finished(vmm: ["nonsense"]).status, "\(failed.errors)")
        let report = Finished(vmm: ["split", "1", "-daemonize"], under: ["--report"])
        #expect(report.status == 64 && report.errors.contains("--report-file"))
    }
}
