import CLinux
import Foundation
import MemslotProtocol
import MemslotService
import Testing
import WireTestSupport

@Suite("memory that a client passes")
struct PassedMemoryTests {
    let client: WireClient

    init() throws {
        client = WireClient(MemslotService())
        try client.createVM("a")
    }

    private func create(
        _ more: String = "\"fd\":0", passing descriptors: [Int32]
    ) throws -> WireClient.Reply {
        try client.call(
            "memory.create", "{\"vm\":\"a\",\"memory\":\"ram\",\(more)}", passing: descriptors)
    }

    @Test("a sealed memfd is accepted, with its size or a smaller one")
    func taken() throws {
        let whole = try create(passing: [try memfd(1 << 20)])
        #expect(whole.result?["size"]?.string == "0x100000")
        #expect(whole.result?["pageSize"]?.string == "0x1000")
        try client.call("memory.destroy", "{\"vm\":\"a\",\"memory\":\"ram\"}")
        let part = try create("\"fd\":0,\"size\":\"0x2000\"", passing: [try memfd(1 << 20)])
        #expect(part.result?["size"]?.string == "0x2000")
        let slot =
            "{\"slot\":0,\"guestPhysicalAddress\":0,\"size\":\"0x3000\",\"memory\":\"ram\"}"
        #expect(try client.submit("a", slot).kind == "backing-out-of-bounds")
    }

    @Test("a file that could shrink under the guest is refused with the reason")
    func refused() throws {
        let unsealed = try create(passing: [try memfd(1 << 20, sealed: false)])
        #expect(unsealed.error?["code"]?.int == -32602)
        #expect(unsealed.path == "fd")
        #expect(unsealed.error?["message"]?.string?.contains("F_SEAL_SHRINK") == true)

        let file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        let ordinary = try create(passing: [file])
        #expect(ordinary.path == "fd")
        #expect(ordinary.error?["message"]?.string?.contains("memfd") == true)

        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        #expect(try create(passing: [ends[0]]).path == "fd")
        close(ends[1])

        #expect(try create(passing: []).path == "fd")
        #expect(try create("\"fd\":1", passing: [try memfd(4096)]).path == "fd")
        #expect(
            try create("\"fd\":18446744073709551615", passing: [try memfd(4096)]).path == "fd")
    }

    @Test("a size beyond the file is refused")
    func sizes() throws {
        for size in ["\"0x3000\"", "0", "\"0x1001\"", "\"0xffffffffffffffff\""] {
            let answer = try create("\"fd\":0,\"size\":\(size)", passing: [try memfd(8192)])
            #expect(answer.path == "size", "\(size)")
        }
        #expect(try create(passing: [try memfd(0)]).path == "size")
        #expect(try create(passing: [try memfd(4097)]).path == "size")
    }

    @Test("a file that can't be written is refused")
    func readOnlyDescriptor() throws {
        let writable = try memfd(4096)
        let readOnly = open("/proc/self/fd/\(writable)", O_RDONLY | O_CLOEXEC)
        close(writable)
        let answer = try create(passing: [readOnly])
        #expect(answer.path == "fd")
        #expect(answer.error?["message"]?.string?.contains("EACCES") == true)
    }

    @Test("another user's file is refused, but root may pass any file")
    func owner() throws {
        let stranger = WireClient(client.service, user: 4_242)
        try stranger.createVM("a")
        let params = "{\"vm\":\"a\",\"memory\":\"ram\",\"fd\":0}"
        if getuid() != 4_242 {
            let answer = try stranger.call("memory.create", params, passing: [try memfd(4096)])
            #expect(answer.path == "fd")
            #expect(answer.error?["message"]?.string?.contains("another user") == true)
        }
        let root = WireClient(client.service, user: 0)
        try root.createVM("a-of-root")
        let mine = try root.call(
            "memory.create", "{\"vm\":\"a-of-root\",\"memory\":\"ram\",\"fd\":0}",
            passing: [try memfd(4096)])
        #expect(mine.error == nil)
    }

    @Test("a descriptor is claimed once in a batch")
    func claimedOnce() throws {
        let one =
            "{\"id\":1,\"method\":\"memory.create\",\"params\":"
            + "{\"vm\":\"a\",\"memory\":\"x\",\"fd\":0}}"
        let two = one.replacingOccurrences(of: "\"x\"", with: "\"y\"")
        let answers = try #require(
            try client.send("[\(one),\(two)]", passing: [try memfd(4096)])?.root.list)
        #expect(answers[0]["result"] != nil)
        #expect(answers[1]["error"]?["data"]?["path"]?.string == "fd")
    }

    @Test("the exported file is the guest's memory")
    func shared() throws {
        try client.call(
            "memory.create",
            "{\"vm\":\"a\",\"memory\":\"ram\",\"backing\":\"memfd\",\"size\":\"0x2000\"}")
        let answer = try client.call("memory.export", "{\"vm\":\"a\",\"memory\":\"ram\"}")
        #expect(answer.result?["fd"]?.int == 0)
        #expect(answer.result?["size"]?.string == "0x2000")
        let descriptor = try #require(answer.descriptors.first)
        defer { close(descriptor) }
        var status = stat()
        try #require(fstat(descriptor, &status) == 0)
        #expect(status.st_size == 0x2000)
        #expect(clinux_seals(descriptor) & clinux_seal_shrink() != 0)
        // The same file can be passed again, so that another VM shares it.
        try client.createVM("b")
        let passed = try client.call(
            "memory.create", "{\"vm\":\"b\",\"memory\":\"shared\",\"fd\":0}",
            passing: [dup(descriptor)])
        #expect(passed.result?["size"]?.string == "0x2000")
    }

    @Test("a guest_memfd is not exported")
    func guestMemfd() throws {
        try client.createVM("g", ",\"simulated\":{\"flags\":[\"guest-memfd\"]}")
        try client.call(
            "memory.create",
            "{\"vm\":\"g\",\"memory\":\"private\",\"backing\":\"guest-memfd\",\"size\":4096}")
        let answer = try client.call("memory.export", "{\"vm\":\"g\",\"memory\":\"private\"}")
        #expect(answer.error?["code"]?.int == -32602)
        #expect(answer.path == "memory")
        #expect(answer.descriptors.isEmpty)
    }

    @Test("a line carries at most sixteen descriptors")
    func manyExports() throws {
        try client.call(
            "memory.create",
            "{\"vm\":\"a\",\"memory\":\"ram\",\"backing\":\"memfd\",\"size\":4096}")
        let one =
            "{\"id\":1,\"method\":\"memory.export\","
            + "\"params\":{\"vm\":\"a\",\"memory\":\"ram\"}}"
        let batch = "[" + Array(repeating: one, count: 17).joined(separator: ",") + "]"
        let reply = try #require(try client.send(batch))
        defer { for descriptor in reply.descriptors { close(descriptor) } }
        #expect(reply.descriptors.count == 16)
        #expect(reply.root.list[15]["result"]?["fd"]?.int == 15)
        #expect(reply.root.list[16]["error"]?["data"]?["limit"]?.string == "descriptors")
    }

    @Test("memory objects are limited in number and in bytes, over all VMs of a user")
    func limits() throws {
        var limits = ServiceLimits()
        limits.memoriesPerPeer = 2
        limits.memoryBytesPerPeer = 0x10000
        let client = WireClient(MemslotService(limits: limits))
        try client.createVM("a")
        try client.createVM("b")
        func create(_ vm: String, _ name: String, _ size: String) throws -> WireClient.Reply {
            try client.call(
                "memory.create",
                "{\"vm\":\"\(vm)\",\"memory\":\"\(name)\","
                    + "\"backing\":\"memfd\",\"size\":\"\(size)\"}")
        }
        #expect(try create("a", "one", "0x8000").error == nil)
        let large = try create("b", "two", "0x9000")
        #expect(large.kind == "limit-exceeded")
        #expect(large.error?["data"]?["limit"]?.string == "memoryBytesPerPeer")
        #expect(
            try create("b", "two", "0xfffffffffffff000").error?["data"]?["limit"]?.string
                == "memoryBytesPerPeer")
        #expect(try create("b", "two", "0x8000").error == nil)
        let third = try create("a", "three", "0x1000")
        #expect(third.error?["data"]?["limit"]?.string == "memoriesPerPeer")
        try client.call("vm.destroy", "{\"vm\":\"b\"}")
        #expect(try create("a", "three", "0x8000").error == nil)
    }
}
