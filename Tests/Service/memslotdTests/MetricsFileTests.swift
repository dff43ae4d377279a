import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("--metrics-file", .serialized, .enabled(if: DaemonProcess.executable != nil))
struct MetricsFileTests {
    private func isRegular(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    @Test("it is whole, follows no link, replaces one in its place, and is removed at the end")
    func links() throws {
        let scratch = try ScratchDirectory()
        let victim = try scratch.write("precious".utf8, to: "victim")
        let folder = scratch.path("metrics")
        mkdir(folder, 0o755)
        let path = folder + "/memslots.prom"
        for link in [path, path + ".new"] { symlink(victim, link) }
        let daemon = try DaemonProcess(arguments: ["--metrics-file", path])
        // The first write is soon after the start; nothing else notifies of it.
        try waitUntil("the metrics") { isRegular(path) }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.contains("\nmemslotd_connections 0\n") && text.hasSuffix("\n"))
        #expect(try String(contentsOfFile: victim, encoding: .utf8) == "precious")
        let names = { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }
        #expect(try names() == ["memslots.prom", "memslots.prom.new"])
        #expect(daemon.end(by: SIGTERM) == 0)
        #expect(try names() == ["memslots.prom.new"])
    }

    @Test("a second signal, and the end of --stdio, remove it too")
    func ends() throws {
        let scratch = try ScratchDirectory()
        let path = scratch.path("memslots.prom")
        let daemon = try DaemonProcess(arguments: ["--metrics-file", path])
        try waitUntil("the metrics") { isRegular(path) }
        var client = try daemon.connect()
        try client.makeLargeVM("a")
        try client.requestMoreThanFits("a")
        kill(daemon.processID, SIGTERM)
        #expect(daemon.nextMessage()?.contains("STOPPING=1") == true)
        #expect(daemon.end(by: SIGTERM) == 128 + SIGTERM)
        #expect(!isRegular(path))
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: try #require(DaemonProcess.executable))
        process.arguments = ["--stdio", "--metrics-file", path]
        let input = Pipe()
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        try waitUntil("the metrics") { isRegular(path) }
        input.fileHandleForWriting.closeFile()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(!isRegular(path))
    }

    @Test(
        "a file that can't be written is logged and leaves nothing, and the daemon serves",
        arguments: ["missing/memslots.prom", "folder"])
    func unwritable(name: String) throws {
        let scratch = try ScratchDirectory()
        mkdir(scratch.path("folder"), 0o755)
        let daemon = try DaemonProcess(arguments: ["--metrics-file", scratch.path(name)])
        try waitUntil("the log") { daemon.log.contains("metrics can't be written") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["folder"])
        var client = try daemon.connect()
        #expect(try client.ask(#"{"id":1,"method":"vm.list"}"#).id == 1)
        #expect(daemon.end(by: SIGTERM) == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["folder"])
    }

    @Test(
        "a file system that does not answer does not keep the daemon from its end",
        .enabled(if: Shim.stall != nil, "the shim can't be compiled"), .timeLimit(.minutes(2)))
    func stalled() throws {
        let scratch = try ScratchDirectory()
        let daemon = try DaemonProcess(
            arguments: ["--metrics-file", scratch.path("memslots.prom")],
            environment: ["LD_PRELOAD": Shim.stall ?? ""])
        let names = { try FileManager.default.contentsOfDirectory(atPath: scratch.path) }
        try waitUntil("the new file") { try !names().isEmpty }
        #expect(daemon.end(by: SIGTERM) == 0)
        #expect(daemon.log.contains("no answer of the file system"))
    }

    /// A service with figures of every kind: a user, a VM, and all times.
    private func metrics() throws -> String {
        let service = MemslotService()
        let client = WireClient(service)
        try client.createVM("q\\\"")
        try client.submit("q\\\"", page(0, at: "0x0"))
        // A move holds vCPUs, so there are times of holds.
        try client.submit("q\\\"", page(0, at: "0x1000"))
        return service.textMetrics()
    }

    @Test(
        "promtool finds no fault in it",
        .enabled(if: BuiltProducts.tool("promtool") != nil, "there is no promtool"))
    func promtool() throws {
        let scratch = try ScratchDirectory()
        let file = try scratch.write(metrics().utf8, to: "m")
        let promtool = try #require(BuiltProducts.tool("promtool"))
        let checked = try CommandRun(
            ["-c", "'\(promtool)' check metrics <'\(file)' 2>&1"], program: "/bin/sh",
            in: scratch.path
        ).outcome()
        #expect(checked.status == 0 && checked.output.isEmpty, "\(checked.output)")
        let rules = Repository.path("Sources/Packaging/monitoring/memslots.rules.yml")
        let ruled = try CommandRun(
            ["check", "rules", rules], program: promtool, in: scratch.path
        ).outcome()
        #expect(ruled.status == 0, "\(ruled.output)\(ruled.errors)")
    }

    @Test("it has the version, the process and connections, and nothing of OpenMetrics")
    func figures() throws {
        let text = try metrics()
        #expect(text.contains("memslotd_build_info{version=\"\(MemslotService.version)\"} 1\n"))
        for line in ["# UNIT", "# EOF"] { #expect(!text.contains(line)) }
        let values = Dictionary(
            text.split(separator: "\n").filter { !$0.hasPrefix("#") && !$0.contains("{") }.map {
                let words = $0.split(separator: " ")
                return (String(words[0]), Double(words[1]) ?? -1)
            }, uniquingKeysWith: { $1 })
        #expect(abs((values["memslotd_start_time_seconds"] ?? 0) - Double(time(nil))) < 3_600)
        #expect((values["memslotd_resident_memory_max_bytes"] ?? 0) > 1e6)
        #expect(values["memslotd_connections_limit"] == 512)
        #expect(values["memslotd_threads"] == 0 && values["memslotd_connections"] == 0)
        // The families of the two formats are the same, but for the daemon's own.
        let users = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE memslots_") }
        #expect(users.count == Set(users).count && users.count > 30)
        #expect(text.contains("# TYPE memslots_vm_commits_total counter\n"))
    }

    @Test("the alerts and the board name only metrics that the daemon writes")
    func monitoring() throws {
        let names = Set(
            try metrics().split(separator: "\n").filter { !$0.hasPrefix("#") }.map {
                String($0.prefix { $0 != "{" && $0 != " " })
            })
        let pattern = try NSRegularExpression(pattern: "\\bmemslot[sd]_[a-z_]+")
        for (file, least) in [("memslots.rules.yml", 7), ("memslots.grafana.json", 24)] {
            let text = try String(
                contentsOfFile: Repository.path("Sources/Packaging/monitoring/\(file)"),
                encoding: .utf8)
            let range = NSRange(text.startIndex..., in: text)
            let used = Set(
                pattern.matches(in: text, range: range).compactMap {
                    Range($0.range, in: text).map { String(text[$0]) }
                })
            #expect(used.isSubset(of: names), "\(file): \(used.subtracting(names))")
            #expect(used.count >= least, "\(file) names \(used.count)")
            guard file.hasSuffix(".json") else { continue }
            let board = try JSONDocument(parsing: text).root
            #expect(board["panels"]?.list.count == 14)
        }
    }
}
