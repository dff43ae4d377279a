import CLinux
import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "observers of memslotd", .serialized,
    .enabled(if: DaemonProcess.executable != nil, "needs memslotd"))
final class ObserverTests {
    private static let storageDaemon = "/usr/bin/qemu-storage-daemon"
    private let daemon: DaemonProcess
    private var client: ClientConnection

    /// A daemon with a VM that has a page of memory for each of three slots.
    init() throws {
        daemon = try DaemonProcess()
        client = try daemon.connect()
        try client.makeVM("a")
        for (name, size) in [("ram", 1 << 20), ("rom", 4_096)] {
            try client.result(
                "memory.create",
                #"{"vm":"a","memory":"\#(name)","size":\#(size),"backing":"memfd"}"#)
        }
    }

    /// Slot `number` of 4 pages at `number` MiB.
    private func slot(_ number: Int, _ more: String = "") -> String {
        #"{"slot":\#(number),"guestPhysicalAddress":\#(number << 20),"size":16384,"memory":"ram","#
            + #""memoryOffset":\#(number << 14)\#(more)}"#
    }

    /// Submits an array.
    ///
    /// - Returns: what the observers were sent, as the receipt shows it.
    @discardableResult
    private func submit(_ slots: String...) throws -> String {
        let list = slots.joined(separator: ",")
        let receipt = try client.result("memslots.submit", #"{"vm":"a","slots":[\#(list)]}"#)
        return receipt["observers"]?.rawText ?? ""
    }

    private func attach(
        _ socket: Int32, as name: String = "disk", _ more: String = ""
    ) throws -> JSONValue? {
        try client.call(
            "observer.attach", #"{"vm":"a","observer":"\#(name)","fd":0\#(more)}"#,
            passing: [socket]
        ).value
    }

    /// What `/proc` says of the relays, which are below the launcher.
    private func relays() -> [String] {
        func children(_ process: pid_t) -> [pid_t] {
            let path = "/proc/\(process)/task/\(process)/children"
            let text = FileManager.default.contents(atPath: path) ?? Data()
            return String(decoding: text, as: UTF8.self).split(separator: " ").compactMap {
                pid_t($0)
            }
        }
        return children(daemon.processID).flatMap(children).flatMap { [$0] + children($0) }
            .map { FileManager.default.contents(atPath: "/proc/\($0)/status") ?? Data() }
            .map { String(decoding: $0, as: UTF8.self) }
            .filter { $0.hasPrefix("Name:\tmemslot-relay\n") }
    }

    /// What is counted for the user beside the connection of this test.
    private func hungProcesses() throws -> Int {
        let gauges = try client.result("metrics.get")["gauges"]
        return (gauges?["observers"]?.int ?? 0) + (gauges?["connections"]?.int ?? 0) - 1
    }

    private func observerGauge() throws -> Int? {
        try client.result("metrics.get")["gauges"]?["observers"]?.int
    }

    @Test("a back end is sent what its memory needs, each descriptor with its message")
    func messages() throws {
        let backEnd = try ToyBackEnd()
        defer { close(backEnd.socket) }
        try submit(slot(0), slot(1))
        let attached = try #require(try attach(backEnd.socket)?["result"])
        #expect(attached["regions"]?.int == 2)
        #expect(backEnd.removeMemoryMessages() == [.init(ToyBackEnd.setTable, descriptors: 2)])

        let added = try submit(slot(0), slot(1), slot(2))
        #expect(backEnd.removeMemoryMessages() == [.init(ToyBackEnd.addRegion, descriptors: 1)])
        let one = #"[{"observer":"disk","state":"attached","regions":3,"messages":"#
        #expect(added == one + #"{"ADD_MEM_REG":1,"GET_FEATURES":1}}]"#)

        // Another flag is nothing to a device, also one of which a table alone makes a log useless.
        let logged = try submit(slot(0), slot(1), slot(2, #","flags":["log-dirty-pages"]"#))
        #expect(logged == one + "{}}]")
        #expect(backEnd.removeMemoryMessages().isEmpty)

        let removed = try submit(slot(0), slot(2))
        #expect(backEnd.removeMemoryMessages() == [.init(ToyBackEnd.removeRegion)])
        #expect(removed.contains(#""messages":{"GET_FEATURES":1,"REM_MEM_REG":1}"#))
        let history = try client.result("memslots.history", #"{"vm":"a"}"#)
        #expect(history["receipts"]?.list.last?["observers"]?.rawText == removed)

        let listed = try client.result("observer.list", #"{"vm":"a"}"#)["observers"]?.list.first
        #expect(listed?["messages"]?["ADD_MEM_REG"]?.int == 1)
        // Confined by the filters of the launcher, of a receiver, and by its own.
        #expect(relays().count == 1)
        #expect(relays().first?.contains("Seccomp_filters:\t3\n") == true)
        try client.result("observer.detach", #"{"vm":"a","observer":"disk"}"#)
        backEnd.waitUntilOver()
        try waitUntil("the relay ends") { relays().isEmpty }
        #expect(try submit(slot(0)) == "")
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test("it sees the memory that the filter names, and outlives the connection that attached it")
    func filter() throws {
        let backEnd = try ToyBackEnd()
        defer { close(backEnd.socket) }
        let rom = #"{"slot":9,"guestPhysicalAddress":0,"size":4096,"memory":"rom"}"#
        try submit(rom)
        #expect(
            try attach(backEnd.socket, as: "disk", #","filter":["ram"]"#)?["result"]?["regions"]?
                .int
                == 0)
        client = try daemon.connect()
        _ = backEnd.removeMemoryMessages()
        #expect(try submit(slot(1), rom).contains(#""regions":1"#))
        #expect(backEnd.removeMemoryMessages().count == 1)
        try client.result("vm.destroy", #"{"vm":"a"}"#)
        backEnd.waitUntilOver()
    }

    @Test("a back end that hangs up vetoes the transaction that finds out, and no other")
    func lost() throws {
        let backEnd = try ToyBackEnd()
        #expect(try attach(backEnd.socket)?["result"] != nil)
        shutdown(backEnd.socket, Int32(SHUT_RDWR))
        let refused = try client.call(
            "memslots.submit", #"{"vm":"a","slots":[\#(slot(0))]}"#)
        #expect(refused.value?.errorKind == "prepare-rejected")
        #expect(try submit(slot(0)).contains(#""state":"lost","reason":""#))
        close(backEnd.socket)
        try client.result("observer.detach", #"{"vm":"a","observer":"disk"}"#)
        let next = try ToyBackEnd()
        defer { close(next.socket) }
        #expect(try attach(next.socket)?["result"]?["regions"]?.int == 1)
    }

    @Test("what is no stream, what does not reply, and a name that is taken are refused")
    func refusals() throws {
        let file = clinux_memfd("test", 0)
        var pipes: [Int32] = [-1, -1]
        pipe(&pipes)
        for descriptor in [file, pipes[0]] {
            let reply = try attach(descriptor)
            #expect(reply?["error"]?["data"]?["path"]?.string == "fd", "\(reply?.rawText ?? "")")
            close(descriptor)
        }
        let (first, second) = (try ToyBackEnd(), try ToyBackEnd())
        #expect(try attach(first.socket)?["result"] != nil)
        #expect(try attach(second.socket)?.errorKind == "observer-exists")
        close(second.socket)
        // Nobody claimed it.
        second.waitUntilOver()
        let unknown = try client.call("observer.detach", #"{"vm":"a","observer":"other"}"#)
        #expect(unknown.value?.errorKind == "unknown-observer")
        try waitUntil("it is counted") { try observerGauge() == 1 }
    }

    @Test("a back end without descriptor for its memory is refused, and later a transaction is")
    func withoutDescriptor() throws {
        let raw = #"{"slot":3,"guestPhysicalAddress":0,"size":4096,"userspaceAddress":4096}"#
        try submit(raw)
        let backEnd = try ToyBackEnd()
        let reply = try attach(backEnd.socket)
        #expect(reply?.errorKind == "prepare-rejected")
        #expect(reply?["error"]?["message"]?.string?.contains("no descriptor is known") == true)
        try submit()
        let next = try ToyBackEnd()
        defer { for socket in [backEnd.socket, next.socket] { close(socket) } }
        #expect(try attach(next.socket)?["result"] != nil)
        let refused = try client.call("memslots.submit", #"{"vm":"a","slots":[\#(raw)]}"#)
        #expect(refused.value?.errorKind == "prepare-rejected")
    }

    @Test("one user has so many, and no more")
    func limit() throws {
        let limit = ServiceLimits().observersPerPeer
        for number in 0...limit {
            let backEnd = try ToyBackEnd()
            let reply = try attach(backEnd.socket, as: "disk-\(number)")
            close(backEnd.socket)
            #expect((reply?.errorKind == "limit-exceeded") == (number == limit))
        }
        try client.result("observer.detach", #"{"vm":"a","observer":"disk-0"}"#)
        try waitUntil("it ends") {
            let backEnd = try ToyBackEnd()
            defer { close(backEnd.socket) }
            return try attach(backEnd.socket, as: "more")?["result"] != nil
        }
    }

    @Test(
        "a descriptor that comes from a back end, and whose close hangs, hangs no more than a process"
    )
    func hanging() throws {
        let (hanging, release) = try lingeringSocket()
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        #expect(clinux_send(ends[1], "x", 1, [hanging], 1, 1) == 1)
        // Its last copy is in the queue of the socket, whose last copies are on the way to the daemon.
        close(hanging)
        kill(daemon.processID, SIGSTOP)
        let params = #"{"vm":"a","observer":"disk","fd":0}"#
        try client.send(
            #"{"id":1,"method":"observer.attach","params":\#(params)}"# + "\n",
            descriptors: [ends[0]])
        close(ends[0])
        kill(daemon.processID, SIGCONT)
        #expect(try client.next().errorKind == "prepare-rejected")
        // It hangs in the relay, or in the receiver that started it: whichever closes the socket last.
        client = try daemon.connect()
        #expect(try client.result("vm.list")["vms"]?.list.count == 1)
        try waitUntil("the former connection ends") { try hungProcesses() == 1 }
        close(release)
        try waitUntil("it ends") {
            client = try daemon.connect()
            return try hungProcesses() == 0
        }
        close(ends[1])
        #expect(daemon.end(by: SIGTERM) == 0)
    }

    @Test(
        "qemu-storage-daemon follows a VM",
        .enabled(
            if: access(Self.storageDaemon, X_OK) == 0, "needs \(Self.storageDaemon)"))
    func qemu() throws {
        let scratch = try ScratchDirectory()
        let (socket, image) = (scratch.path("socket"), scratch.path("disk"))
        try scratch.write([UInt8](repeating: 0, count: 4_096), to: "disk")
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: Self.storageDaemon)
        process.arguments = [
            "--blockdev", "driver=file,node-name=disk,filename=\(image)", "--export",
            "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=\(socket)",
        ]
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        try submit(slot(0))
        try waitUntil("it listens") {
            try daemon.run("observer", "attach", "a", "disk", "--connect", socket).status == 0
        }
        for round in 1...200 {
            let sent = try submit(slot(0), slot(1 + round % 3))
            #expect(sent.contains(#""state":"attached","regions":2"#), "\(sent)")
        }
        let listed = try daemon.run("observer", "list", "a")
        #expect(listed.output.hasPrefix("disk is attached with 2 regions, and was sent"))
        #expect(listed.output.contains("ADD_MEM_REG: 200"))
        #expect(listed.output.contains("REM_MEM_REG: 199"))
        #expect(try daemon.run("observer", "detach", "a", "disk").status == 0)
        #expect(process.isRunning)
    }
}
