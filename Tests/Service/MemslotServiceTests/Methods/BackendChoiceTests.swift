import MemslotKVM
import MemslotProtocol
import Testing
import WireTestSupport

@testable import MemslotService

@Suite("a host without KVM")
struct NoKVMTests {
    private let client = WireClient(MemslotService(kvmDevice: "/nonexistent/kvm"))

    @Test("kvm is refused with the reason, auto is a simulator, and server.info shows the reason")
    func refused() throws {
        let error = try #require(
            try client.call("vm.create", #"{"vm":"v","backend":"kvm"}"#).error)
        #expect(error["code"]?.rawText == "-32011")
        #expect(error["data"]?["kind"]?.string == "backend-unavailable")
        #expect(error["data"]?["reason"]?.string?.contains("/nonexistent/kvm") == true)
        #expect(try client.call("memslots.get", #"{"vm":"v"}"#).kind == "unknown-vm")

        let made = try client.call("vm.create", #"{"vm":"v","backend":"auto"}"#).result
        #expect(made?["backend"]?.string == "simulated")
        let kvm = try client.call("server.info").result?["backends"]?["kvm"]
        #expect(kvm?["available"]?.bool == false)
        #expect(kvm?["reason"]?.string?.contains("/nonexistent/kvm") == true)
        #expect(kvm?["capabilities"] == nil)
    }
}

@Suite(
    "the service on /dev/kvm", .serialized,
    .enabled(
        if: KVMSystem.unavailability() == nil,
        "\(KVMSystem.unavailability()?.description ?? "KVM opens")"))
struct ServiceOnKVMTests {
    private let client = WireClient(MemslotService())

    @Test(
        "auto is KVM where it opens, with the host's limits, whatever is asked of a simulator")
    func auto() throws {
        let host = try #require(
            try client.call("server.info").result?["backends"]?["kvm"]?["capabilities"])
        let made = try #require(
            try client.call("vm.create", #"{"vm":"v","simulated":{"maxSlots":4}}"#).result)
        #expect(made["backend"]?.string == "kvm")
        #expect(made["capabilities"]?.rawText == host.rawText)
        #expect(made["capabilities"]?["maxSlots"]?.uint64 != 4)
        let listed = try client.call("vm.list").result?["vms"]?.elements.map {
            $0["backend"]?.string
        }
        #expect(listed == ["kvm"])
    }

    @Test("the kernel's memory is in plans and receipts, and limited before the first call")
    func kernelMemory() throws {
        var limits = ServiceLimits()
        limits.kernelMemoryPerPeer = 1 << 20
        let service = MemslotService(limits: limits)
        let client = WireClient(service)
        try client.result("vm.create", #"{"vm":"v","backend":"kvm"}"#)
        try client.result(
            "memory.create", #"{"vm":"v","memory":"m","size":"0x400000000","backing":"memfd"}"#)
        func parameters(_ pages: Int) -> String {
            #"{"vm":"v","slots":[{"slot":0,"guestPhysicalAddress":"0x100000000","#
                + #""size":\#(pages * 4096),"#
                + #""memory":"m","flags":["log-dirty-pages"]}]}"#
        }
        let planned = try client.result("memslots.plan", parameters(16))["kernelMemory"]?.uint64
        let receipt = try client.result("memslots.submit", parameters(16))
        #expect(receipt["kernelMemory"]?.uint64 == planned && planned ?? 0 > 512)
        #expect(service.budgets.kernelMemory.sum == planned.map { Int($0) })
        // The bitmaps alone have 1 MiB.
        for method in ["memslots.plan", "memslots.submit"] {
            let refused = try client.call(method, parameters(1 << 22))
            #expect(refused.root.limit == "kernelMemoryPerPeer", "\(method)")
        }
        #expect(try client.result("memslots.get", #"{"vm":"v"}"#)["generation"]?.int == 1)
        #expect(service.budgets.kernelMemory.sum == planned.map { Int($0) })
        try client.result("memslots.submit", #"{"vm":"v","slots":[]}"#)
        #expect(service.budgets.kernelMemory.sum == 0)
    }

    @Test("addresses of the service are refused, and named memory is shown by its name alone")
    func named() throws {
        try client.result("vm.create", #"{"vm":"v","backend":"kvm"}"#)
        #expect(
            try client.call(
                "memslots.submit",
                #"{"vm":"v","slots":[{"guestPhysicalAddress":0,"size":4096,"userspaceAddress":0}]}"#
            ).kind == "raw-address-refused")
        try client.result(
            "memory.create", #"{"vm":"v","memory":"ram","size":65536,"backing":"memfd"}"#)
        let receipt = try client.call(
            "memslots.submit",
            #"{"vm":"v","slots":[{"guestPhysicalAddress":0,"size":65536,"memory":"ram","memoryOffset":0,"flags":["log-dirty-pages"]}]}"#
        ).root
        #expect(receipt["result"]?["outcome"]?.string == "committed", "\(receipt.rawText)")
        let array = try client.call("memslots.get", #"{"vm":"v"}"#).root
        #expect(array["result"]?["slots"]?.elements.map { $0["memory"]?.string } == ["ram"])
        let log = try client.call("dirtylog.get", #"{"vm":"v","slot":0,"clear":true}"#).root
        #expect(log["result"]?["pages"]?.uint64 == 16)
        #expect(log["result"]?["dirty"]?.uint64 == 0)
        for answer in [
            receipt, array,
            try client.call("memslots.translate", #"{"vm":"v","addresses":[4096]}"#).root,
        ] {
            #expect(!answer.rawText.contains("userspaceAddress"))
        }
    }

    @Test("a simulator's methods are refused by name")
    func wrongBackend() throws {
        try client.result("vm.create", #"{"vm":"v","backend":"kvm"}"#)
        #expect(
            try client.call("fault.inject", #"{"vm":"v","clear":true}"#).kind == "wrong-backend")
        #expect(
            try client.call("guest.touch", #"{"vm":"v","guestPhysicalAddress":0,"size":1}"#).kind
                == "wrong-backend")
    }

    @Test("capabilities report shared guest_memfds, which are refused by name without it")
    func sharedGuestMemfd() throws {
        let shared = #""memory":"ram","size":"0x10000","backing":"guest-memfd","shared":true}"#
        let made = try client.call("vm.create", #"{"vm":"v","backend":"kvm"}"#).result
        let isOffered = made?["capabilities"]?["sharedGuestMemfd"]?.bool == true
        try client.result("vm.create", #"{"vm":"old","backend":"simulated"}"#)
        for (vm, isOffered) in [("v", isOffered), ("old", false)] {
            let answer = try client.call("memory.create", #"{"vm":"\#(vm)",\#(shared)"#)
            #expect((answer.result != nil) == isOffered)
            if !isOffered {
                #expect(answer.kind == "backend-unavailable")
                #expect(answer.line.contains("KVM_CAP_GUEST_MEMFD_FLAGS"))
            }
        }
    }

    @Test("a guest-memfd object is the kernel's, bound once, and goes with its last slot")
    func guestMemfd() throws {
        let made = try client.call("vm.create", #"{"vm":"v","backend":"kvm"}"#).result
        let flags = made?["capabilities"]?["flags"]?.elements.compactMap(\.string) ?? []
        guard flags.contains("guest-memfd") else { try Test.cancel("no guest_memfd here") }
        for memory in [
            #""memory":"ram","size":"0x20000","backing":"memfd""#,
            #""memory":"private","size":"0x10000","backing":"guest-memfd""#,
        ] {
            let answer = try client.call("memory.create", #"{"vm":"v",\#(memory)}"#).root
            #expect(answer["result"] != nil, "\(answer.rawText)")
        }
        func slot(_ id: Int, at address: Int, _ binding: String = "") -> String {
            #"{"slot":\#(id),"guestPhysicalAddress":\#(address),"size":32768,"memory":"ram","#
                + #""memoryOffset":0,"flags":["guest-memfd"]\#(binding)}"#
        }
        func bound(_ offset: Int) -> String {
            #","guestMemfd":"private","guestMemfdOffset":\#(offset)"#
        }
        func submit(_ slots: [String]) -> String {
            #"{"vm":"v","slots":[\#(slots.joined(separator: ","))]}"#
        }
        let both = [
            slot(0, at: 0, bound(0)), slot(1, at: 0x10_0000, bound(0x8000)),
        ]
        #expect(try client.call("memslots.submit", submit(both)).kind == nil)
        // The other way round: both are deleted and created, bound to the same files.
        let swapped = [
            slot(0, at: 0, bound(0x8000)), slot(1, at: 0x10_0000, bound(0)),
        ]
        #expect(try client.call("memslots.submit", submit(swapped)).kind == nil)
        let doubled = [
            slot(0, at: 0, bound(0)), slot(1, at: 0x10_0000, bound(0)),
        ]
        #expect(
            try client.call("memslots.submit", submit(doubled)).kind == "guest-memfd-range-bound")
        #expect(
            try client.call("memslots.submit", submit([slot(0, at: 0)])).kind
                == "guest-memfd-missing")
        let memory = #"{"vm":"v","memory":"private"}"#
        #expect(try client.call("memory.destroy", memory).kind == "memory-in-use")
        #expect(try client.call("memslots.submit", submit([])).kind == nil)
        #expect(try client.call("memory.destroy", memory).kind == nil)
    }
}
