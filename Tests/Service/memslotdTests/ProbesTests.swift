import Foundation
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

private let readelf = BuiltProducts.tool("readelf", "llvm-readelf")
private let bpftrace = BuiltProducts.tool("bpftrace")
private let library = BuiltProducts.path(of: "libmemslots-preload.so")
/// Where it is missing, the programs were built without probes.
private let hasHeader = ["", "x86_64-linux-gnu/", "aarch64-linux-gnu/"].contains {
    FileManager.default.fileExists(atPath: "/usr/include/\($0)sys/sdt.h")
}
/// The kernel may forbid BPF, or have no uprobes.
private let canTrace = bpftrace.map { bpftrace in
    let probe = "usdt:\(DaemonProcess.executable ?? ""):memslots:submit"
    return (try? output(of: bpftrace, "-e", "\(probe) { exit(); } BEGIN { exit(); }")) != nil
}

/// The output of a program.
///
/// - Throws: its errors, if it fails.
private func output(of program: String, _ arguments: String...) throws -> String {
    let scratch = try ScratchDirectory()
    let outcome = try CommandRun(arguments, program: program, in: scratch.path).outcome()
    guard outcome.status == 0 else { throw TargetLost(outcome.errors) }
    return outcome.output
}

@Suite(
    "USDT probes", .enabled(if: hasHeader, "needs sys/sdt.h (Debian: systemtap-sdt-dev)"),
    .enabled(if: DaemonProcess.executable != nil && library != nil, "needs the built programs"))
struct ProbesTests {
    @Test(
        "the daemon and the library of run have those that Docs/Probes.md lists",
        .enabled(if: readelf != nil, "needs readelf"))
    func notes() throws {
        let document = try String(contentsOf: Repository.url("Docs/Probes.md"), encoding: .utf8)
        let rows = document.matches(of: /(?m)^\| `(memslots\w*:\w+)` \| ([^|]*) \|/)
        let documented = Dictionary(
            uniqueKeysWithValues: rows.map { (String($0.1), $0.2.split(separator: " ").count) })
        let engine = documented.filter { $0.key.hasPrefix("memslots:") }
        let names = ["submit", "hold", "call", "swap", "release"].map { "memslots:\($0)" }
        #expect(Set(engine.keys) == Set(names))
        #expect(try probes(of: DaemonProcess.executable) == engine)
        #expect(try probes(of: library) == documented)
    }

    /// The probes of a file, each with the number of its arguments.
    private func probes(of file: String?) throws -> [String: Int] {
        let notes = try output(of: #require(readelf), "--notes", "--wide", #require(file))
        let entries = notes.matches(
            of: /Provider: (\w+)\s+Name: (\w+)\s+Location: .*\s+Arguments: (.*)/)
        // One probe may be in several places, always with the same arguments.
        return Dictionary(
            entries.map { ("\($0.1):\($0.2)", $0.3.split(separator: " ").count) },
            uniquingKeysWith: { $0 == $1 ? $0 : -1 })
    }

    @Test(
        "the script prints submits that hold nobody, that hold vCPUs, and that are undone",
        .enabled(if: canTrace == true, "needs bpftrace, and a kernel that permits it"),
        .timeLimit(.minutes(5)))
    func script() throws {
        let daemon = try DaemonProcess()
        let source = try String(
            contentsOf: Repository.url("Sources/Packaging/trace/memslots-submits.bt"),
            encoding: .utf8)
        let script = try daemon.file(
            "submits.bt",
            source.replacing("/usr/bin/memslotd", with: try #require(DaemonProcess.executable))
                .replacing(
                    "/usr/lib/memslots/libmemslots-preload.so", with: try #require(library)))
        let lines = daemon.directory.path("lines")
        let errors = daemon.directory.path("errors")
        for file in [lines, errors] {
            _ = FileManager.default.createFile(atPath: file, contents: nil)
        }
        let trace = ChildProcess()
        trace.executableURL = URL(filePath: try #require(bpftrace))
        trace.arguments = ["-B", "line", script]
        trace.standardOutput = FileHandle(forWritingAtPath: lines)
        trace.standardError = FileHandle(forWritingAtPath: errors)
        try trace.run()
        defer { trace.terminate() }

        var client = try daemon.connect()
        try client.makeVM("vm")
        let slots = #"[{"slot":7,"guestPhysicalAddress":0,"size":4096,"userspaceAddress":4096}]"#
        var generations: Set<Int> = []
        var text = ""
        // When the probes are attached is not known: the script's heading comes before.
        try waitUntil("the script's lines", every: 50_000) {
            guard trace.isRunning else {
                throw TargetLost(try String(contentsOfFile: errors, encoding: .utf8))
            }
            try client.result("memslots.submit", #"{"vm":"vm","slots":\#(slots)}"#)
            try client.result("fault.inject", #"{"vm":"vm","operation":0,"errno":"EIO","times":1}"#)
            let empty = #"{"vm":"vm","slots":[],"quiesce":"always"}"#
            let refused = try client.call("memslots.submit", empty)
            #expect(refused.value?["error"]?["data"]?["kind"]?.string == "rolled-back")
            let emptied = try client.result("memslots.submit", empty)
            generations.insert(try #require(emptied["generation"]?.int))
            text = (try? String(contentsOfFile: lines, encoding: .utf8)) ?? ""
            return text.contains(/\s\d+ +[1-9]\d* +1 +0 +-\n/)
                && text.contains(/\s\d+ +0 +1 +1 +\d+\n/)
                && text.contains(/\s\d+ +[1-9]\d* +1 +0 +\d+\n/)
        }
        for line in text.matches(of: /\s(\d+) +([1-9]\d*) +1 +0 +\d+\n/) {
            #expect(Int32(line.1) == daemon.processID)
            #expect(generations.contains(Int(line.2) ?? 0))
        }
    }
}
