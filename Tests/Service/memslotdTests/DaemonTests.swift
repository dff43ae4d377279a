import CLinux
import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memslotd", .serialized, .enabled(if: DaemonProcess.executable != nil, "memslotd is not built"))
struct DaemonTests {
    @Test("it serves, ends at SIGTERM with status 0, and removes its socket")
    func ends() throws {
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            let daemon = try DaemonProcess()
            var client = try daemon.connect()
            #expect(try client.ask(#"{"id":1,"method":"server.info"}"#).id == 1)
            #expect(daemon.end(by: signal) == 0)
            #expect(access(daemon.socketPath.path, F_OK) != 0)
            #expect(daemon.nextMessage()?.contains("STOPPING=1") == true)
            #expect(try client.isAtEnd())
        }
    }

    @Test("after kill -9 a second daemon starts at the same path, and a third does not")
    func restart() throws {
        let first = try DaemonProcess()
        var client = try first.connect()
        try client.makeVM("a")
        _ = first.end(by: SIGKILL)
        #expect(access(first.socketPath.path, F_OK) == 0)
        #expect(try client.isAtEnd())
        let second = try DaemonProcess(in: first.directory)
        var again = try second.connect()
        #expect(try again.ask(Line.get("a", id: 1)).errorKind == "unknown-vm")
        try again.makeVM("a")
        #expect(throws: (any Error).self) { try Listener(at: second.socketPath) }
        #expect(second.end(by: SIGTERM) == 0)
    }

    @Test("it logs what it does")
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
        "without a descriptor left a new peer is refused, others are still served, and later all are",
        .enabled(if: BuiltProducts.tool("prlimit") != nil, "there is no prlimit"))
    func noDescriptors() throws {
        let daemon = try DaemonProcess()
        var first = try daemon.connect()
        // Later than the start, which would lower the limits.
        let prlimit = try CommandRun(
            ["--nofile=24:24", "--pid=\(daemon.processID)"],
            program: BuiltProducts.tool("prlimit"), in: daemon.directory.path)
        #expect(try prlimit.outcome().status == 0)
        #expect(try first.ask(#"{"id":1,"method":"server.info"}"#).id == 1)
        let refusal = try connectUntilRefused(daemon, limit: 24)
        #expect(refusal?.limit == "descriptors")
        #expect(try first.ask(#"{"id":3,"method":"server.info"}"#).id == 3)
        // All others have closed their connections: a new peer is served as soon as the daemon
        // has closed its ends.
        var isServed = false
        for _ in 0..<10_000 where !isServed {
            var other = try daemon.connect()
            isServed = (try? other.call("server.info", "{}").value?["result"]) != nil
        }
        #expect(isServed)
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test("where it may have few descriptors, its limits are lower, and it logs that")
    func fewDescriptors() throws {
        let daemon = try DaemonProcess(shell: "ulimit -n 1000;")
        var client = try daemon.connect()
        let limits = try #require(try client.result("server.info")["limits"])
        let (all, share) = (limits["connections"]?.int ?? 0, limits["connectionsPerPeer"]?.int ?? 0)
        #expect((1..<100).contains(all), "\(limits)")
        #expect(share == all / 2 || share == (all + 1) / 2)
        #expect(daemon.log.contains("limits are lowered"))
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test("it notifies systemd's watchdog as long as commits work")
    func watchdog() throws {
        let daemon = try DaemonProcess(environment: ["WATCHDOG_USEC": "20000"])
        #expect(daemon.nextMessage() == "WATCHDOG=1\n")
        #expect(daemon.nextMessage() == "WATCHDOG=1\n")
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test(
        "wrong usage is refused",
        arguments: [
            ["--max-connections", "0"], ["--max-line", "7"], ["--stdio", "--allow-uid", "1"],
            ["--allow-uid", "x"], ["--log-level", "loud"], ["--sandbox", "loose"],
            ["--sandbox", "strict", "--no-sandbox"],
        ])
    func usage(arguments: [String]) throws {
        let process = ChildProcess()
        process.executableURL = URL(
            fileURLWithPath: try #require(DaemonProcess.executable))
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 64)
    }

    @Test("it serves standard input and output, and ends with the input")
    func standardIO() throws {
        let process = ChildProcess()
        process.executableURL = URL(
            fileURLWithPath: try #require(DaemonProcess.executable))
        process.arguments = ["--stdio"]
        let (input, output) = (Pipe(), Pipe())
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

    @Test("it serves a socket that systemd passes, and leaves it to the next daemon")
    func activation() throws {
        let directory = try ScratchDirectory()
        let path = try SocketPath(directory.path("activated"))
        let socket = clinux_stream_socket()
        defer { close(socket) }
        #expect(clinux_bind(socket, path.path) == 0)
        #expect(listen(socket, 5) == 0)
        // The second daemon finds the socket as the first one found it.
        for _ in 1...2 {
            // The shell moves the descriptor to number 3, and names the process id of the daemon.
            let copy = fcntl(socket, F_DUPFD, 100)
            defer { close(copy) }
            let process = ChildProcess()
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
    }

    @Test("a second signal ends it at once, even if a reply is stuck")
    func atOnce() throws {
        let daemon = try DaemonProcess()
        var client = try daemon.connect()
        try client.makeLargeVM("a")
        try client.requestMoreThanFits("a")
        kill(daemon.processID, SIGTERM)
        #expect(daemon.nextMessage()?.contains("STOPPING=1") == true)
        #expect(daemon.end(by: SIGTERM) == 128 + SIGTERM)
    }

    /// Connects until the daemon refuses a client.
    ///
    /// - Returns: the refusal; `nil` if it serves `limit` clients.
    private func connectUntilRefused(_ daemon: DaemonProcess, limit: Int) throws -> JSONValue? {
        guard limit > 0 else { return nil }
        var client = try daemon.connect()
        let answer = try client.call("server.info", "{}").value
        guard answer?["error"] == nil else { return answer }
        let refusal = try connectUntilRefused(daemon, limit: limit - 1)
        // The connection stays open until here.
        client.endSending()
        return refusal
    }
}
