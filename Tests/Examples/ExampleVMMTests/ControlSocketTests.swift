import Foundation
import MemslotProtocol
import MemslotService
import TestSupport
import Testing

@testable import ExampleVMM

private let python3 = ["/usr/bin/python3", "/usr/local/bin/python3"].first {
    FileManager.default.isExecutableFile(atPath: $0)
}

@Suite("the example VMM's control socket")
struct ControlSocketTests {
    /// Runs `body` with the path of the socket, in a directory that only this user may write to.
    private func withSocket(_ body: (String) throws -> Void) throws {
        signal(SIGPIPE, SIG_IGN)
        let directory = FileManager.default.temporaryDirectory
            .appending(path: "memslots-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(
            at: directory, withIntermediateDirectories: false,
            attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(at: directory) }
        let layout = try Layout()
        let machine = try SimulatedMachine(layout)
        let path = directory.appending(path: "s").path
        let socket = try ControlSocket(machine.table, layout.memory, at: path)
        defer { socket.stop() }
        try body(path)
    }

    @Test("a client sees the slots by the name of their memory, and changes them")
    func client() throws {
        try withSocket { path in
            var connection = try ClientConnection(SocketPath(path))
            let reply = try connection.call(
                .memslotsGet, params: Array(#"{"vm":"guest"}"#.utf8))
            let slots = try #require(reply.value?["result"]?["slots"])
            #expect(slots.elements.count == 3)
            #expect(slots.elements.allSatisfy { $0["memory"]?.string == "ram" })
            #expect(slots.elements.allSatisfy { $0["userspaceAddress"] == nil })
            let again = try connection.call(
                .memslotsSubmit, params: Array(#"{"vm":"guest","slots":\#(slots.rawText)}"#.utf8))
            #expect(again.value?["result"]?["outcome"]?.string == "unchanged")
            let none = try connection.call(
                .memslotsSubmit, params: Array(#"{"vm":"guest","slots":[]}"#.utf8))
            #expect(none.value?["result"]?["operationCount"]?.int == 3)
        }
    }

    @Test("the Python client speaks to it", .enabled(if: python3 != nil, "no python3 here"))
    func python() throws {
        let clients = Repository.path("Sources/Bindings/python")
        try withSocket { path in
            let script = """
                import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True
                from memslots import Client
                from memslots.events import Committed
                client = Client(sys.argv[2])
                table = client.call("memslots.get", {"vm": "guest"})
                client.call("events.subscribe", {"vm": "guest"})
                receipt = client.call("memslots.submit", {"vm": "guest", "slots": table["slots"][:1],
                    "expectedGeneration": table["generation"]})
                event = client.next_event()
                refusal, listing = client.batch([("memslots.get", {"vm": "no"}), ("vm.list", {})])
                print(receipt["diff"]["removed"], type(event) is Committed, event.generation == receipt["generation"],
                    refusal.kind, listing["vms"][0]["vm"])
                """
            let process = ChildProcess()
            process.executableURL = URL(filePath: try #require(python3))
            process.arguments = ["-c", script, clients, path]
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
            process.waitUntilExit()
            #expect(
                String(decoding: bytes, as: UTF8.self)
                    == "[1, 2] True True unknown-vm guest\n")
        }
    }
}
