import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "the daemon's limit of memory", .serialized, .enabled(if: DaemonProcess.executable != nil))
struct MemoryLimitTests {
    @Test("too little is refused with the least that is enough")
    func tooLittle() throws {
        let least = ServiceLimits().leastMemory
        let daemon = try DaemonProcess(arguments: ["--memory-limit", "\(least - 1)"])
        #expect(!daemon.isReady)
        #expect(daemon.log.contains("at least \(least)"), "\(daemon.log)")
        let other = try DaemonProcess(arguments: ["--memory-limit", "\(least)"])
        #expect(other.isReady)
        let larger = try DaemonProcess(
            arguments: ["--memory-limit", "\(least)", "--max-connections", "4096"])
        #expect(!larger.isReady)
    }

    @Test("a limit that is too low names options and values, with which the daemon starts")
    func named() throws {
        for extra in [[], ["--max-connections", "4096"]] {
            let limit = ["--memory-limit", "372779008"]
            let log = try DaemonProcess(arguments: limit + extra).log
            let start = try #require(log.range(of: ": with "), "\(log)").upperBound
            let end = try #require(log.range(of: " they fit"), "\(log)").lowerBound
            let options = log[start..<end].split(separator: " ").map { String($0) }
            #expect(options.contains("--max-line") && options.contains("--max-vms"))
            #expect(try DaemonProcess(arguments: limit + options).isReady, "\(options)")
        }
        let log = try DaemonProcess(arguments: ["--memory-limit", "1000000"]).log
        #expect(log.contains("raise --memory-limit"))
    }

    @Test("bytes have units; users and groups have names")
    func units() throws {
        let daemon = try DaemonProcess(
            arguments: [
                "--memory-limit", "2G", "--max-line", "4M", "--max-memory", "4K", "--allow-uid",
                "nobody", "--read-only-gid", "root",
            ])
        var client = try daemon.connect()
        let limits = try client.ask(#"{"id":1,"method":"server.info"}"#)["result"]?["limits"]
        #expect(limits?["memoryLimit"]?.int == 2 << 30 && limits?["lineBytes"]?.int == 4 << 20)
        #expect(limits?["memoryBytesPerPeer"]?.int == 4_096)
        for wrong in [["--memory-limit", "2X"], ["--allow-uid", "no such user"]] {
            #expect(try DaemonProcess(arguments: wrong).log.contains("invalid"), "\(wrong)")
        }
    }

    @Test(
        "on a small host the daemon starts and logs lower limits, on a smaller one it does not start",
        .enabled(if: PrivateMounts.areAvailable, "unshare --mount needs root"))
    func smallHost() throws {
        func start(in bytes: Int) throws -> DaemonProcess {
            // What the daemon reads of its control groups; /proc shows the groups of either version.
            let group =
                "mount -t tmpfs none /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/memory && echo \(bytes)"
                + " | tee /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
            return try DaemonProcess(
                shell: PrivateMounts.entering("\(group) >/dev/null || exit 1"))
        }
        let smaller = try start(in: 745_558_016)
        #expect(!smaller.isReady)
        #expect(
            smaller.log.contains(/has 745558016 bytes of memory.*--max-line \d+.* they fit/),
            "\(smaller.log)")
        let daemon = try start(in: 1 << 30)
        try #require(daemon.isReady, "\(daemon.log)")
        var client = try daemon.connect()
        let limits = try client.ask(#"{"id":1,"method":"server.info"}"#)["result"]?["limits"]
        #expect(limits?["memoryLimit"]?.int == ServiceLimits().leastMemory)
        #expect(limits?["lineBytes"]?.int == 16 << 20)
        #expect(daemon.log.contains("warning the limits may take more than half of the memory"))
        #expect(daemon.log.contains("slots=65536"), "\(daemon.log)")
    }

    @Test(
        "every limit is driven to its end at once, and the daemon keeps its limit of memory",
        .enabled(if: python != nil, "needs python3"))
    func allAtOnce() throws {
        let limit = ServiceLimits().leastMemory + 64 << 20
        // Thread stacks and untouched room count here too, so there is a fifth more.
        let daemon = try DaemonProcess(
            arguments: ["--memory-limit", "\(limit)", "--allow-uid", "65534"],
            shell: "ulimit -d \(limit / 5 * 6 / 1024);")
        try #require(daemon.isReady, "\(daemon.log)")
        // A user has at most half of each total.
        let users = geteuid() == 0 ? [0, 65_534] : [geteuid()]
        if geteuid() == 0 {
            chmod(daemon.directory.path, 0o755)
            chmod(daemon.socket, 0o666)
        }
        let peers = try users.map { try ExhaustingPeer($0, daemon.socket) }
        let refused = try peers.map { try $0.refusals() }
        for names in refused {
            // The second of two users finds a part of each total reserved.
            for name in ["vms", "slots", "dirtyBytes", "requestBytes"] {
                #expect(
                    names[name] != nil || names[name + "PerPeer"] != nil,
                    "\(name) was not reached: \(names)")
            }
        }
        var client = try ClientConnection(daemon.socketPath)
        #expect(try client.ask(#"{"id":1,"method":"server.info"}"#)["result"] != nil)
        let memory = try ProcessMemory(of: daemon.processID)
        #expect(memory.peakAnonymous <= limit, "\(memory)")
        // The test would notice nothing if the limits were not reached.
        #expect(memory.peakAnonymous >= limit / 8, "\(memory)")
        for peer in peers { peer.end() }
        #expect(try client.ask(#"{"id":2,"method":"server.info"}"#)["result"] != nil)
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test("by default no slot call takes the kernel longer than the daemon's end may take")
    func kernelMemory() throws {
        for (arguments, most) in [([], 2 << 30), (["--max-kernel-memory", "\(8 << 30)"], 8 << 30)] {
            let daemon = try DaemonProcess(arguments: arguments)
            var client = try daemon.connect()
            let limits = try client.ask(#"{"id":1,"method":"server.info"}"#)["result"]?["limits"]
            let (share, total) = (limits?["kernelMemoryPerPeer"], limits?["kernelMemory"])
            #expect(share?.uint64 ?? .max <= UInt64(most))
            #expect(total?.uint64 == share?.uint64.map { 2 * $0 })
        }
    }

    static let python = BuiltProducts.tool("python3")
}

/// A process that drives the limits of a user to their end. It ends with this object.
private final class ExhaustingPeer {
    private let process = ChildProcess()
    private let (input, output) = (Pipe(), Pipe())

    init(_ user: uid_t, _ socket: String) throws {
        let script = Repository.path("Tests/Service/memslotdTests/Shim/exhaust.py")
        process.executableURL = URL(fileURLWithPath: try #require(MemoryLimitTests.python))
        process.arguments = [script, socket, "\(user)"]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
    }

    deinit { end() }

    /// Waits until it holds all that it can.
    ///
    /// - Returns: how often each limit refused it.
    func refusals() throws -> [String: Int] {
        var text = Data()
        while text.last != UInt8(ascii: "\n") {
            let data = output.fileHandleForReading.availableData
            if data.isEmpty { break }
            text += data
        }
        return try JSONDecoder().decode([String: Int].self, from: text)
    }

    func end() {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

/// What the kernel reports of a process's memory.
private struct ProcessMemory: CustomStringConvertible {
    /// At least the most anonymous memory that it has had, in bytes.
    let peakAnonymous: Int
    let description: String

    init(of process: pid_t) throws {
        description = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        var values: [Substring: Int] = [:]
        for line in description.split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace)
            if words.count == 3, words[2] == "kB" { values[words[0]] = Int(words[1]) }
        }
        let peak = try #require(values["VmHWM:"])
        peakAnonymous = (peak - values["RssFile:", default: 0]) * 1024
    }
}
