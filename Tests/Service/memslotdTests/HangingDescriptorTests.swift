import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

/// A process that passes descriptors whose `close()` never returns. It ends with this object.
private final class HangingPeer {
    enum Kind: String, CaseIterable, Sendable {
        case fuse
        case tcp

        static var possible: [Kind] {
            guard python != nil else { return [] }
            return geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 ? [.fuse, .tcp] : [.tcp]
        }
    }

    static let python = BuiltProducts.tool("python3")
    static let withoutFUSE = "needs root, /dev/fuse and python3"
    private let process = ChildProcess()
    private let input = Pipe()
    private let output = Pipe()
    /// What the server replied, line by line.
    private(set) var replies: [Substring] = []

    /// Starts it, and waits until it has passed all descriptors and the server has replied.
    init(
        _ kind: Kind, _ daemon: DaemonProcess, connections: Int, times: Int = 1,
        line: String = #"{"id":1,"method":"vm.list"}"#, leaves: Bool = false
    ) throws {
        let script = Repository.url("Tests/Service/memslotdTests/Shim/hanging.py").path
        process.executableURL = URL(fileURLWithPath: try #require(Self.python))
        process.arguments =
            [script, kind.rawValue, daemon.socket, "\(connections)", "\(times)", line]
            + (leaves ? ["leave"] : [])
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var text = ""
        while !text.hasSuffix("done\n") {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { break }
            text += String(decoding: data, as: UTF8.self)
        }
        replies = text.split(separator: "\n").dropLast()
    }

    deinit { end() }

    /// Ends it: whatever hangs returns.
    func end() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

extension DaemonProcess {
    /// The receivers of descriptors that the daemon's launcher has started and that are not gone.
    fileprivate var receivers: Int {
        let launcher = children(of: processID).first ?? -1
        return children(of: launcher).count
    }

    /// The threads of the daemon that are inside `close(2)`.
    fileprivate func closingThreads() throws -> [String] {
        #if arch(x86_64)
            let number = 3
        #else
            let number = 57
        #endif
        let tasks = "/proc/\(processID)/task"
        return try FileManager.default.contentsOfDirectory(atPath: tasks).filter { thread in
            let call = FileManager.default.contents(atPath: "\(tasks)/\(thread)/syscall")
            return String(decoding: call ?? Data(), as: UTF8.self).hasPrefix("\(number) ")
        }
    }

    private func children(of process: pid_t) -> [pid_t] {
        let path = "/proc/\(process)/task/\(process)/children"
        let text = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { pid_t($0) }
    }
}

@Suite(
    "descriptors whose close never returns", .serialized,
    .enabled(
        if: DaemonProcess.executable != nil && HangingPeer.python != nil,
        "needs memslotd and python3"))
struct HangingDescriptorTests {
    @Test(
        "the kind that needs a file system",
        .enabled(
            if: HangingPeer.Kind.possible.contains(.fuse), "\(HangingPeer.withoutFUSE)"))
    func fuse() throws { try others(.fuse) }

    @Test("the kind that lingers")
    func tcp() throws { try others(.tcp) }

    /// With 100 of them, others are served, SIGTERM ends the daemon, and one that is killed leaves
    /// its state to the next.
    private func others(_ kind: HangingPeer.Kind) throws {
        for signal in [SIGTERM, SIGKILL] {
            let directory = try ScratchDirectory()
            let state = ["--state-dir", directory.path("state")]
            let daemon = try DaemonProcess(in: directory, arguments: state)
            let peer = try HangingPeer(kind, daemon, connections: 100)
            #expect(peer.replies.count == 100)
            #expect(peer.replies.allSatisfy { $0.contains(#""vms":[]"#) })
            #expect(daemon.receivers == 100)
            var client = try daemon.connect()
            try client.makeVM("a")
            let begun = ContinuousClock.now
            let status = daemon.end(by: signal)
            #expect(ContinuousClock.now - begun < .seconds(10))
            #expect(status == (signal == SIGTERM ? 0 : -SIGKILL))
            let next = try DaemonProcess(in: directory, arguments: state)
            var again = try next.connect()
            #expect(try again.ask(Line.get("a", id: 1))["result"]?["generation"]?.int == 0)
            peer.end()
            #expect(next.end(by: SIGTERM) == 0)
        }
    }

    @Test(
        "a line with descriptors that comes while others hang ends its connection",
        .enabled(if: HangingPeer.Kind.possible.contains(.fuse), "\(HangingPeer.withoutFUSE)"))
    func second() throws {
        let daemon = try DaemonProcess()
        let peer = try HangingPeer(.fuse, daemon, connections: 1, times: 3)
        #expect(peer.replies.count == 2)
        #expect(peer.replies.first?.contains(#""vms":[]"#) == true)
        #expect(peer.replies.last?.contains(#""limit":"descriptors""#) == true)
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test("queued descriptors of a connection that is refused are closed by another process")
    func queued() throws {
        let daemon = try DaemonProcess(arguments: ["--max-line", "1024"])
        let long = String(repeating: "x", count: 2_000)
        let peer = try HangingPeer(.tcp, daemon, connections: 20, times: 3, line: long)
        #expect(peer.replies.count == 20)
        #expect(peer.replies.allSatisfy { $0.contains("lineBytes") })
        var client = try daemon.connect()
        #expect(try client.ask(#"{"id":1,"method":"vm.list"}"#).id == 1)
        #expect(try daemon.closingThreads().isEmpty)
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test(
        "a descriptor that hangs counts as a connection of its peer until it is gone",
        .enabled(if: HangingPeer.Kind.possible.contains(.fuse), "\(HangingPeer.withoutFUSE)"))
    func counts() throws {
        // Half of them for a peer.
        let daemon = try DaemonProcess(
            arguments: ["--max-connections", "8", "--log-level", "debug"])
        let peer = try HangingPeer(.fuse, daemon, connections: 4, leaves: true)
        // The connections have ended; what hangs has not.
        try waitUntil("their end") {
            daemon.log.components(separatedBy: " disconnected ").count > 4
        }
        var refusal = try daemon.connect()
        #expect(try refusal.next().limit == "connectionsPerPeer")
        peer.end()
        var isServed = false
        for _ in 0..<10_000 where !isServed {
            var client = try daemon.connect()
            isServed = (try? client.call("vm.list", "{}").value?["result"]) != nil
        }
        #expect(isServed)
        #expect(daemon.end(by: SIGTERM) == 0)
    }
}
