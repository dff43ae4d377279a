import Foundation
import Glibc
import TestSupport
import Testing
import WireTestSupport

@Suite("--metrics-file", .serialized, .enabled(if: DaemonProcess.executable != nil))
struct MetricsFileTests {
    @Test("it is whole, follows no link, replaces one in its place, and leaves nothing")
    func links() throws {
        let scratch = try ScratchDirectory()
        let victim = try scratch.write("precious".utf8, to: "victim")
        let folder = scratch.path("metrics")
        mkdir(folder, 0o755)
        let path = folder + "/memslots.prom"
        for link in [path, path + ".new"] { symlink(victim, link) }
        let daemon = try DaemonProcess(arguments: ["--metrics-file", path])
        // The first write is soon after the start; nothing else notifies of it.
        var status = stat()
        try waitUntil("the metrics") {
            lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
        }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.hasSuffix("# EOF\n"))
        #expect(try String(contentsOfFile: victim, encoding: .utf8) == "precious")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
                == ["memslots.prom", "memslots.prom.new"])
        #expect(daemon.end(by: SIGTERM) == 0)
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
    }
}
