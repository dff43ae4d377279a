import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("--log-format", .serialized, .enabled(if: DaemonProcess.executable != nil))
struct LogFormatTests {
    /// The log of a daemon that restores nothing, finds a damaged record and commits for a VM.
    private func log(_ arguments: String..., vm: String = "a=\\\"b") throws -> [String] {
        let scratch = try ScratchDirectory()
        try scratch.writeState([1], "vm-1.state")
        let daemon = try DaemonProcess(
            arguments: ["--state-dir", scratch.state, "--log-level", "debug"] + arguments)
        do {
            var client = try daemon.connect()
            try client.makeVM(vm)
            _ = try client.ask(Line.submit(vm, id: 1, pages: 1))
        }
        #expect(daemon.end(by: SIGTERM) == 0)
        return daemon.log.split(separator: "\n").map(String.init)
    }

    @Test("journal begins each line with its priority, so that journalctl -p err finds errors")
    func journal() throws {
        let lines = try log("--log-format", "journal")
        func priorities(_ message: String) -> [Substring] {
            lines.filter { $0.dropFirst(3).hasPrefix(message) }.map { $0.prefix(3) }
        }
        #expect(priorities("the record of a VM is damaged") == ["<3>"])
        #expect(priorities("listening") == ["<5>"])
        #expect(priorities("committed") == ["<6>"])
        #expect(priorities("connected") == ["<7>"])
        #expect(lines.allSatisfy { $0.wholeMatch(of: /<[2-7]>[a-z].*/) != nil }, "\(lines)")
        #expect(lines.contains { $0.contains(#"vm="a=\"b""#) }, "\(lines)")
    }

    @Test("json is an object a line, with every item as a member")
    func json() throws {
        let lines = try log("--log-format", "json").map { try JSONDocument(parsing: $0).root }
        let commit = try #require(lines.first { $0["message"]?.string == "committed" })
        #expect(commit["level"]?.string == "info" && commit["vm"]?.string == "a=\"b")
        #expect(commit["operations"]?.string == "1")
        let time = try #require(commit["time"]?.string)
        #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil, "\(time)")
        #expect(lines.contains { $0["level"]?.string == "error" })
    }

    @Test("text is the default, with time and level")
    func text() throws {
        for lines in [try log(), try log("--log-format", "text")] {
            let form = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|notice|warning|error) .*/
            #expect(lines.allSatisfy { $0.wholeMatch(of: form) != nil }, "\(lines)")
        }
    }

    @Test("the units write for the journal")
    func units() throws {
        for unit in ["memslotd.service", "memslotd-user.service"] {
            let text = try String(
                contentsOfFile: Repository.path("Sources/Packaging/systemd/\(unit)"),
                encoding: .utf8)
            #expect(text.contains("--log-format journal\n"), "\(unit)")
        }
    }

    @Test("the units permit as many threads and processes as the limits do")
    func tasks() throws {
        let limits = ServiceLimits()
        // A process receives a connection's descriptors, one relays for an observer, one starts them.
        let needed = limits.threads + limits.connections + limits.observers + 16
        for unit in ["memslotd.service", "memslotd-user.service"] {
            let text = try String(
                contentsOfFile: Repository.path("Sources/Packaging/systemd/\(unit)"),
                encoding: .utf8)
            let most = try #require(text.firstMatch(of: /\nTasksMax=(\d+)\n/)?.1, "\(unit)")
            #expect(Int(most) ?? 0 >= needed, "\(unit)")
        }
    }
}
