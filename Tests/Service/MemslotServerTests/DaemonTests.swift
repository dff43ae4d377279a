import CLinux
import Foundation
import Glibc
import MemslotProtocol
import MemslotScenario
import MemslotService
import Testing

extension ServerTests {
    @Suite("memslotd", .enabled(if: DaemonProcess.executable != nil, "memslotd is not built"))
    struct DaemonTests {
        @Test("it serves, ends at SIGTERM with status 0, and takes its socket away")
        func ends() throws {
            for signal in [SIGTERM, SIGINT] {
                let daemon = try DaemonProcess()
                var client = try daemon.connect()
                #expect(try client.ask(#"{"id":1,"method":"server.info"}"#).id == 1)
                #expect(daemon.end(by: signal) == 0)
                #expect(access(daemon.path.path, F_OK) != 0)
                #expect(daemon.nextNotification().contains("STOPPING=1"))
                #expect(try client.isAtEnd())
            }
        }

        @Test("after kill -9 another comes up on the same path, and a third doesn't")
        func restart() throws {
            let first = try DaemonProcess()
            var client = try first.connect()
            try client.makeVM("a")
            _ = first.end(by: SIGKILL)
            #expect(access(first.path.path, F_OK) == 0)
            #expect(try client.isAtEnd())
            let second = try DaemonProcess(at: first.path)
            var again = try second.connect()
            #expect(try again.ask(Line.get("a", id: 1)).errorKind == "unknown-vm")
            try again.makeVM("a")
            #expect(throws: (any Error).self) { try Listener(at: second.path) }
            #expect(second.end(by: SIGTERM) == 0)
        }

        @Test("it says what it does on standard error, and nothing on standard output")
        func log() throws {
            let daemon = try DaemonProcess(arguments: ["--log-level", "debug"])
            do {
                var client = try daemon.connect()
                _ = try client.ask(#"{"id":1,"method":"server.info"}"#)
            }
            #expect(daemon.end(by: SIGTERM) == 0)
            for word in ["notice listening socket=", "debug connected", "notice stopped"] {
                #expect(daemon.log.contains(word), "\(word)")
            }
        }

        @Test(
            "without a descriptor left a peer is told so, others are served on, and later all are")
        func noDescriptors() throws {
            let daemon = try DaemonProcess(shell: "ulimit -n 24;")
            var first = try daemon.connect()
            #expect(try first.ask(#"{"id":1,"method":"server.info"}"#).id == 1)
            var others: [SocketTarget] = []
            var refusal: JSONValue?
            while refusal == nil && others.count < 24 {
                let target = try SocketTarget(daemon.path)
                let line = try target.exchange(Array(#"{"id":2,"method":"server.info"}"#.utf8))
                let answer = try JSONDocument(parsing: line).root
                if answer["error"] != nil { refusal = answer } else { others.append(target) }
            }
            #expect(refusal?.limit == "descriptors")
            #expect(try first.ask(#"{"id":3,"method":"server.info"}"#).id == 3)
            // Those who are told so lose nothing but time: with room again there is service again.
            others = []
            var isServed = false
            for _ in 0..<10_000 where !isServed {
                let target = try SocketTarget(daemon.path)
                let line = try? target.exchange(Array(#"{"id":4,"method":"server.info"}"#.utf8))
                isServed =
                    try line.map { try JSONDocument(parsing: $0).root["result"] != nil } ?? false
            }
            #expect(isServed)
            #expect(daemon.end(by: SIGTERM) == 0)
        }

        @Test("it tells systemd's watchdog that commits work")
        func watchdog() throws {
            let daemon = try DaemonProcess(environment: ["WATCHDOG_USEC": "20000"])
            #expect(daemon.nextNotification() == "WATCHDOG=1\n")
            #expect(daemon.nextNotification() == "WATCHDOG=1\n")
            #expect(daemon.end(by: SIGTERM) == 0)
        }

        @Test(
            "usage that means nothing is refused",
            arguments: [
                ["--max-connections", "0"], ["--max-line", "7"], ["--stdio", "--allow-uid", "1"],
                ["--allow-uid", "x"], ["--log-level", "loud"],
            ])
        func usage(arguments: [String]) throws {
            let process = Process()
            process.executableURL = URL(
                fileURLWithPath: try #require(DaemonProcess.executable))
            process.arguments = arguments
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            #expect(process.terminationStatus == 64)
        }

        @Test("it speaks on standard input and output, and ends with the input")
        func standardIO() throws {
            let process = Process()
            process.executableURL = URL(
                fileURLWithPath: try #require(DaemonProcess.executable))
            process.arguments = ["--stdio"]
            let (input, output) = (Foundation.Pipe(), Foundation.Pipe())
            process.standardInput = input
            process.standardOutput = output
            process.standardError = FileHandle.nullDevice
            try process.run()
            input.fileHandleForWriting.write(Data("{\"id\":1,\"method\":\"vm.list\"}\n".utf8))
            input.fileHandleForWriting.closeFile()
            let answer = output.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            #expect(
                String(decoding: answer, as: UTF8.self)
                    == "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"vms\":[]}}\n")
        }

        @Test("it serves a socket that systemd hands over, and leaves it there")
        func activation() throws {
            let directory = try TemporaryDirectory.make()
            defer { try? FileManager.default.removeItem(atPath: directory) }
            let path = try SocketPath(directory + "/activated")
            let socket = clinux_stream_socket()
            defer { close(socket) }
            #expect(clinux_bind(socket, path.path) == 0)
            #expect(listen(socket, 5) == 0)
            // The descriptor must be number 3 there, and the process id its own: a shell does both.
            let copy = fcntl(socket, F_DUPFD, 100)
            defer { close(copy) }
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            process.arguments = [
                "-c", "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" 3<&0 0</dev/null",
                try #require(DaemonProcess.executable),
            ]
            process.standardInput = FileHandle(fileDescriptor: copy)
            process.standardError = FileHandle.nullDevice
            try process.run()
            var client = try ClientConnection(path)
            #expect(try client.ask(#"{"id":1,"method":"server.info"}"#).id == 1)
            kill(process.processIdentifier, SIGTERM)
            process.waitUntilExit()
            #expect(process.terminationStatus == 0)
            #expect(access(path.path, F_OK) == 0)
        }

        @Test("a second signal ends it at once, whatever is under way")
        func atOnce() throws {
            let daemon = try DaemonProcess()
            var client = try daemon.connect()
            try client.makeVM("a")
            let slots = (0..<2_000).map {
                #"{"slot":\#($0),"guestPhysicalAddress":\#($0 * 8_192),"size":4096,"userspaceAddress":4096}"#
            }.joined(separator: ",")
            _ = try client.ask(
                #"{"id":0,"method":"memslots.submit","params":{"vm":"a","slots":[\#(slots)]}}"#)
            try client.send(
                "[" + (1...20).map { Line.get("a", id: $0) }.joined(separator: ",") + "]\n")
            // More than the sockets hold: once the first bytes are there, the rest is stuck.
            client.waitForBytes()
            kill(daemon.process.processIdentifier, SIGTERM)
            #expect(daemon.nextNotification().contains("STOPPING=1"))
            #expect(daemon.end(by: SIGTERM) == 128 + SIGTERM)
        }
    }
}
