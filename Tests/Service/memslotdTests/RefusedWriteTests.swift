import CLinux
import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "a state directory that can't be written", .serialized,
    .enabled(if: DaemonProcess.executable != nil))
struct RefusedWriteTests {
    init() throws { try #require(Interruption.library != nil, "the shim can't be compiled") }

    @Test(
        "if a call on a file fails, once or always, the request is refused and nothing is changed",
        arguments: [(ENOSPC, 1), (EIO, 1_000_000)])
    func everyCall(errno: Int32, times: Int) throws {
        let course = Course.whole
        let snapshots = try course.snapshots()
        let granted = try course.granted()
        var faults: [String] = []
        var (point, refused, ahead, unopened, harmless) = (1, 0, 0, 0, 0)
        while true {
            let scratch = try ScratchDirectory()
            let daemon = try DaemonProcess(
                stateIn: scratch, arguments: ["--state-sync"],
                environment: Interruption.environment([
                    "FAIL": String(point), "ERRNO": String(errno), "TIMES": String(times),
                ]))
            let place = "errno \(errno), call \(point)"
            guard daemon.isReady else {
                // It may refuse to start, with the reason in the log.
                unopened += 1
                let (status, log) = (daemon.waitForEnd(), daemon.log)
                // The log is empty if it could not be written in time.
                if status != 1 || !(log.isEmpty || log.contains(" critical can't ")) {
                    faults.append("\(place): \(daemon.log)")
                }
                point += 1
                continue
            }
            var client = try daemon.connect()
            let progress = try course.run(on: &client)
            // Some calls may fail without effect. After many of them the point is past the last call.
            harmless =
                progress.answered == course.requests.count && progress.refusal == nil
                ? harmless + 1 : 0
            if harmless == 12 { break }
            let count = progress.answered - (progress.refusal == nil ? 0 : 1)
            if progress.refusal != nil { refused += 1 }
            var expected = snapshots[count]
            let now = try Course.snapshot(&client)
            if now != expected { faults.append("\(place), count \(count): \(now)") }
            daemon.end(by: SIGKILL)
            if progress.isAhead {
                ahead += 1
                expected = count == course.rolledBack ? granted : snapshots[count + 1]
            }
            let next = try DaemonProcess(stateIn: scratch)
            var other = try next.connect()
            let found = try Course.snapshot(&other)
            if found != expected {
                faults.append("\(place), \(progress), then \(found)")
            }
            point += 1
        }
        #expect(faults.isEmpty, "\(faults.prefix(3))")
        #expect(refused > 20 && unopened > 0)
        print(
            "errno \(errno) \(times == 1 ? "once" : "for good"): \(point - 12) points, "
                + "\(refused) refused, \(ahead) could not be undone, \(unopened) did not start")
    }

    @Test(
        "--state-sync waits for the record and its name, and refuses a request if a wait fails",
        arguments: [true, false])
    func onTheDisk(isSynced: Bool) throws {
        var refused: [String] = []
        for point in 1...8 {
            let scratch = try ScratchDirectory()
            let daemon = try DaemonProcess(
                stateIn: scratch, arguments: isSynced ? ["--state-sync"] : [],
                environment: Interruption.environment([
                    "ONLY": "fsync", "FAIL": String(point), "ERRNO": String(EIO),
                ]))
            try #require(daemon.isReady)
            var client = try daemon.connect()
            let made = try client.call(
                "vm.create", #"{"vm":"a","backend":"simulated"}"#)
            if made.value?["result"] == nil {
                refused.append("create")
                continue
            }
            if try submitMany(&client).value?["result"] == nil { refused.append("submit") }
        }
        // Each request waits twice: for the file, and for the directory that contains it.
        #expect(refused == (isSynced ? ["create", "create", "submit", "submit"] : []))
    }

    @Test("a file system that can't exchange two files works too")
    func noExchange() throws {
        let course = Course.whole
        let snapshots = try course.snapshots()
        let scratch = try ScratchDirectory()
        let daemon = try DaemonProcess(
            stateIn: scratch,
            environment: Interruption.environment([
                "ONLY": "renameat2", "FAIL": "1", "TIMES": "1000000", "ERRNO": String(EINVAL),
            ]))
        var client = try daemon.connect()
        let progress = try course.run(on: &client, limit: 12)
        #expect(progress.refusal == nil && progress.answered == 12)
        daemon.end(by: SIGKILL)
        let next = try DaemonProcess(stateIn: scratch)
        var other = try next.connect()
        #expect(try Course.snapshot(&other) == snapshots[12])
        #expect(
            scratch.stateFiles == ["vm-1.memory-1", "vm-1.state", "vm-2.memory-1", "vm-2.state"])
    }

    @Test("without a descriptor left a submit is refused with EMFILE, and the daemon goes on")
    func noDescriptors() throws {
        let scratch = try ScratchDirectory()
        let daemon = try DaemonProcess(stateIn: scratch, shell: "ulimit -n 24;")
        var client = try daemon.connect()
        _ = try client.call("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        var others: [Int32] = []
        defer { for socket in others { close(socket) } }
        var kind: String?
        // Each connection needs a descriptor, until none is left for the record.
        while kind == nil, others.count < 30 {
            let socket = clinux_stream_socket()
            _ = clinux_connect(socket, scratch.path + "/s")
            others.append(socket)
            // The daemon responds whether it accepts or refuses the connection.
            var byte: UInt8 = 0
            _ = send(socket, "1\n", 2, Int32(MSG_NOSIGNAL))
            _ = recv(socket, &byte, 1, 0)
            let answer = try submitMany(&client, at: others.count)
            kind = answer.value?["error"]?["data"]?["errno"]?.string
        }
        #expect(kind == "EMFILE")
        for socket in others { shutdown(socket, Int32(SHUT_RDWR)) }
        // Accepted as soon as the daemon has closed its ends.
        var isAccepted = false
        for attempt in 0..<10_000 where !isAccepted {
            isAccepted = try submitMany(&client, at: 100 + attempt).value?["result"] != nil
        }
        #expect(isAccepted)
    }

    @Test("a file that may not grow is refused with EFBIG, and the daemon goes on")
    func fileSizeLimit() throws {
        let scratch = try ScratchDirectory()
        // The limit holds for the log too.
        let daemon = try DaemonProcess(
            stateIn: scratch, arguments: ["--log-level", "critical"], shell: "ulimit -f 1;")
        var client = try daemon.connect()
        let made = try client.call(
            "vm.create", #"{"vm":"a","backend":"simulated"}"#)
        try #require(made.value?["result"] != nil, "\(String(decoding: made.line, as: UTF8.self))")
        let answer = try submitMany(&client)
        #expect(answer.value?["error"]?["data"]?["kind"]?.string == "prepare-rejected")
        #expect(answer.value?["error"]?["data"]?["errno"]?.string == "EFBIG")
        let list = try client.call(.vmList).value?["result"]?["vms"]?.rawText
        #expect(list?.contains(#""generation":0,"slots":0"#) == true)
    }

    @Test(
        "a full file system refuses a submit, and accepts it once there is space",
        .enabled(if: getuid() == 0, "only root can mount a file system"))
    func fullFileSystem() throws {
        let scratch = try ScratchDirectory()
        try FileManager.default.createDirectory(
            atPath: scratch.state, withIntermediateDirectories: false)
        try #require(
            mount("tmpfs", scratch.state, "tmpfs", 0, "size=64k,mode=0700") == 0,
            "\(String(cString: strerror(errno)))")
        defer { umount2(scratch.state, Int32(MNT_DETACH)) }
        let daemon = try DaemonProcess(stateIn: scratch)
        var client = try daemon.connect()
        _ = try client.call("vm.create", #"{"vm":"a","backend":"simulated"}"#)
        let filler = scratch.state + "/filler"
        _ = FileManager.default.createFile(
            atPath: filler, contents: Data(repeating: 1, count: 60 << 10))
        let refused = try submitMany(&client)
        #expect(refused.value?["error"]?["data"]?["errno"]?.string == "ENOSPC")
        let list = try client.call(.vmList).value?["result"]?["vms"]?.rawText
        #expect(list?.contains(#""generation":0,"slots":0"#) == true)
        unlink(filler)
        #expect(try submitMany(&client).value?["result"]?["generation"]?.int == 1)
    }

    private func submitMany(
        _ client: inout ClientConnection, at base: Int = 0
    ) throws -> ClientConnection.Received {
        let slots = (0..<40).map {
            #"{"slot":\#($0),"guestPhysicalAddress":\#((base << 10 | $0) << 12),"size":4096,"userspaceAddress":4096}"#
        }.joined(separator: ",")
        return try client.call(
            "memslots.submit", #"{"vm":"a","slots":[\#(slots)]}"#)
    }
}
