import CLinux
import Foundation
import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite(
    "memory in systemd's descriptor store", .serialized,
    .enabled(if: DaemonProcess.executable != nil))
struct DescriptorStoreTests {
    private let store = ["FDSTORE": "3"]

    @Test("a memory object is stored sealed before the reply, and is restored with its bytes")
    func roundTrip() throws {
        let scratch = try ScratchDirectory()
        let first = try DaemonProcess(stateIn: scratch, environment: store)
        var client = try first.connect()
        try ask(&client, "vm.create", #"{"vm":"a","backend":"simulated"}"#)
        let kept = try create(first, #"{"vm":"a","memory":"ram","size":8192,"backing":"memfd"}"#)
        #expect(kept.name == "vm-1.memory-1")
        #expect(clinux_seals(kept.descriptor) & clinux_seal_shrink() != 0)
        try ask(
            &client, "memslots.submit",
            #"{"vm":"a","slots":[{"slot":0,"guestPhysicalAddress":0,"size":8192,"memory":"ram"}]}"#)
        let exported = try export(&client)
        #expect(pwrite(exported, "guest", 5, 4_096) == 5)
        close(exported)
        let slots = try ask(&client, "memslots.get", #"{"vm":"a"}"#)
        first.end(by: SIGKILL)

        let second = try DaemonProcess(stateIn: scratch, environment: store, stored: [kept])
        try #require(second.isReady, "\(second.log)")
        var other = try second.connect()
        #expect(try ask(&other, "memslots.get", #"{"vm":"a"}"#) == slots)
        let again = try export(&other)
        defer { close(again) }
        var bytes = [UInt8](repeating: 0, count: 5)
        #expect(pread(again, &bytes, 5, 4_096) == 5)
        #expect(bytes == Array("guest".utf8))
    }

    @Test("a passed memfd is stored too; destroyed memory is removed")
    func passedAndDestroyed() throws {
        let scratch = try ScratchDirectory()
        let daemon = try DaemonProcess(stateIn: scratch, environment: store)
        var client = try daemon.connect()
        try ask(&client, "vm.create", #"{"vm":"a","backend":"simulated"}"#)
        let memory = clinux_memfd("passed", 0)
        defer { close(memory) }
        try #require(ftruncate(memory, 4_096) == 0 && clinux_seal_size(memory) == 0)
        let kept = try create(daemon, #"{"vm":"a","memory":"own","fd":0}"#, passing: [memory])
        var (one, other) = (stat(), stat())
        #expect(fstat(kept.descriptor, &one) == 0 && fstat(memory, &other) == 0)
        #expect(one.st_ino == other.st_ino)
        try ask(&client, "memory.destroy", #"{"vm":"a","memory":"own"}"#)
        while daemon.messages.count < 2, daemon.receiveMessage() {}
        #expect(daemon.messages.last?.text == "FDSTOREREMOVE=1\nFDNAME=vm-1.memory-1\n")
    }

    @Test("a full store refuses memory, and nothing of it remains")
    func full() throws {
        let scratch = try ScratchDirectory()
        let daemon = try DaemonProcess(stateIn: scratch, environment: ["FDSTORE": "1"])
        var client = try daemon.connect()
        try ask(&client, "vm.create", #"{"vm":"a","backend":"simulated"}"#)
        _ = try create(daemon, #"{"vm":"a","memory":"ram","size":4096,"backing":"memfd"}"#)
        let refused = try client.call(
            "memory.create",
            #"{"vm":"a","memory":"more","size":4096,"backing":"memfd"}"#)
        #expect(refused.value?["error"]?["data"]?["errno"]?.string == "ENOSPC")
        #expect(try ask(&client, "memory.list", #"{"vm":"a"}"#).contains("more") == false)
    }

    @Test("a VM whose memory is lost is reported, its name is not reused, and it can be destroyed")
    func lost() throws {
        let scratch = try ScratchDirectory()
        let first = try DaemonProcess(stateIn: scratch, environment: store)
        var client = try first.connect()
        try ask(&client, "vm.create", #"{"vm":"a","backend":"simulated"}"#)
        _ = try create(first, #"{"vm":"a","memory":"ram","size":4096,"backing":"memfd"}"#)
        first.end(by: SIGKILL)
        let second = try DaemonProcess(stateIn: scratch, environment: store)
        var other = try second.connect()
        let info = try ask(&other, "server.info", "{}")
        #expect(info.contains(#""unrestored":[{"vm":"a","file":"vm-1.state""#), "\(info)")
        let taken = try other.call(
            "vm.create", #"{"vm":"a","backend":"simulated"}"#)
        #expect(taken.value?["error"]?["data"]?["kind"]?.string == "vm-exists")
        let asked = try other.call("memslots.get", #"{"vm":"a"}"#)
        #expect(asked.value?["error"]?["data"]?["kind"]?.string == "backend-unavailable")
        try ask(&other, "vm.destroy", #"{"vm":"a"}"#)
        #expect(scratch.stateFiles.isEmpty)
        try ask(&other, "vm.create", #"{"vm":"a","backend":"simulated"}"#)
    }

    @Test("a descriptor that its VM's record does not name is removed; one without a record stays")
    func orphan() throws {
        let scratch = try ScratchDirectory()
        let memory = clinux_memfd("orphan", 0)
        defer { close(memory) }
        do {
            let daemon = try DaemonProcess(stateIn: scratch, environment: store)
            var client = try daemon.connect()
            try ask(&client, "vm.create", #"{"vm":"a","backend":"simulated"}"#)
        }
        let daemon = try DaemonProcess(
            stateIn: scratch, environment: store,
            stored: [("vm-1.memory-1", memory), ("vm-7.memory-1", memory)])
        #expect(daemon.isReady)
        #expect(daemon.messages.map(\.text) == ["FDSTOREREMOVE=1\nFDNAME=vm-1.memory-1\n"])
        try waitUntil("the log") { daemon.log.contains("file=vm-7.memory-1") }
        #expect(daemon.log.contains("kept guest memory whose VM has no valid record"))
    }

    /// Creates memory. This test plays systemd, which must receive the descriptor before the reply.
    private func create(
        _ daemon: DaemonProcess, _ params: String, passing: [Int32] = []
    ) throws -> (name: String, descriptor: Int32) {
        // A connection of its own, because the reply comes after the messages to systemd.
        let received = daemon.messages.count
        var client = try daemon.connect()
        try client.send(
            Array(#"{"id":9,"method":"memory.create","params":\#(params)}"#.utf8) + [10],
            descriptors: passing)
        // The descriptor, and then the barrier.
        _ = daemon.receiveMessage()
        _ = daemon.receiveMessage()
        let answer = try client.nextReply()
        try #require(
            answer.value?["result"] != nil, "\(String(decoding: answer.line, as: UTF8.self))")
        let message = try #require(daemon.messages.dropFirst(received).first)
        try #require(message.text.hasPrefix("FDSTORE=1\nFDNAME="))
        let name = message.text.split(separator: "\n")[1].dropFirst("FDNAME=".count)
        return (String(name), try #require(message.descriptors.first))
    }

    private func export(_ client: inout ClientConnection) throws -> Int32 {
        let answer = try client.call(
            "memory.export", #"{"vm":"a","memory":"ram"}"#)
        return try #require(answer.descriptors.claim(0))
    }

    @discardableResult
    private func ask(
        _ client: inout ClientConnection, _ method: String, _ params: String
    ) throws -> String {
        try client.result(method, params).rawText
    }
}
