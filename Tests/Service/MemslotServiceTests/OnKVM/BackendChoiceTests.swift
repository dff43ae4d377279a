import MemslotProtocol
import MemslotScenario
import MemslotService
import Testing

@Suite("a host without KVM")
struct NoKVMTests {
    private var asked = Asked(MemslotService(kvmDevice: "/nonexistent/kvm"))

    @Test("kvm is refused with the reason, auto is a simulator, and server.info tells")
    mutating func refused() throws {
        let error = try #require(
            try asked("vm.create", #"{"vm":"v","backend":"kvm"}"#)["error"])
        #expect(error["code"]?.rawText == "-32011")
        #expect(error["data"]?["kind"]?.string == "backend-unavailable")
        #expect(error["data"]?["reason"]?.string?.contains("/nonexistent/kvm") == true)
        #expect(try asked.kind("memslots.get", #"{"vm":"v"}"#) == "unknown-vm")

        let made = try asked("vm.create", #"{"vm":"v","backend":"auto"}"#)["result"]
        #expect(made?["backend"]?.string == "simulated")
        let kvm = try asked("server.info")["result"]?["backends"]?["kvm"]
        #expect(kvm?["available"]?.bool == false)
        #expect(kvm?["reason"]?.string?.contains("/nonexistent/kvm") == true)
        #expect(kvm?["capabilities"] == nil)
    }

    @Test("a replay on kvm says why it can't be, one on auto skips nothing")
    func replay() throws {
        let target = InProcessTarget(MemslotService(kvmDevice: "/nonexistent/kvm"))
        var onKVM = ScenarioPlayer(target, backend: .kvm)
        #expect(try onKVM.kvmUnavailability()?.contains("/nonexistent/kvm") == true)
        var onAny = ScenarioPlayer(target, backend: .auto)
        #expect(try onAny.kvmUnavailability() == nil)
        let path = try #require(FixtureFiles.scenarios.first { $0.hasPrefix("dirty/") })
        var reader = ScenarioReader(LineReader(bytes: try FixtureFiles.bytes(path)))
        while let step = try reader.next() {
            let played = try onAny.play(step)
            #expect(played?.skipped == nil)
        }
    }
}

extension ServiceOnKVM {
    @Suite("VMs")
    struct KVMVMTests {
        private var asked = Asked(MemslotService())

        @Test(
            "auto is KVM where it opens, with the host's limits, whatever is asked of a simulator")
        mutating func auto() throws {
            let host = try #require(
                try asked("server.info")["result"]?["backends"]?["kvm"]?["capabilities"])
            let made = try #require(
                try asked("vm.create", #"{"vm":"v","simulated":{"maxSlots":4}}"#)["result"])
            #expect(made["backend"]?.string == "kvm")
            #expect(made["capabilities"]?.rawText == host.rawText)
            #expect(made["capabilities"]?["maxSlots"]?.uint64 != 4)
            let listed = try asked("vm.list")["result"]?["vms"]?.elements.map {
                $0["backend"]?.string
            }
            #expect(listed == ["kvm"])
        }

        @Test("addresses of the service are refused, and named memory is told by its name alone")
        mutating func named() throws {
            _ = try asked("vm.create", #"{"vm":"v","backend":"kvm"}"#)
            #expect(
                try asked.kind(
                    "memslots.submit",
                    #"{"vm":"v","slots":[{"guestPhysicalAddress":0,"size":4096,"userspaceAddress":0}]}"#
                ) == "raw-address-refused")
            _ = try asked(
                "memory.create", #"{"vm":"v","memory":"ram","size":65536,"backing":"memfd"}"#)
            let receipt = try asked(
                "memslots.submit",
                #"{"vm":"v","slots":[{"guestPhysicalAddress":0,"size":65536,"memory":"ram","memoryOffset":0,"flags":["log-dirty-pages"]}]}"#
            )
            #expect(receipt["result"]?["outcome"]?.string == "committed", "\(receipt.rawText)")
            let told = try asked("memslots.get", #"{"vm":"v"}"#)
            #expect(told["result"]?["slots"]?.elements.map { $0["memory"]?.string } == ["ram"])
            let log = try asked("dirtylog.get", #"{"vm":"v","slot":0,"clear":true}"#)
            #expect(log["result"]?["pages"]?.uint64 == 16)
            #expect(log["result"]?["dirty"]?.uint64 == 0)
            for answer in [
                receipt, told, try asked("memslots.translate", #"{"vm":"v","addresses":[4096]}"#),
            ] {
                #expect(!answer.rawText.contains("userspaceAddress"))
            }
        }

        @Test("a simulator's methods are refused by name")
        mutating func wrongBackend() throws {
            _ = try asked("vm.create", #"{"vm":"v","backend":"kvm"}"#)
            #expect(
                try asked.kind("fault.inject", #"{"vm":"v","clear":true}"#) == "wrong-backend")
            #expect(
                try asked.kind("guest.touch", #"{"vm":"v","guestPhysicalAddress":0,"size":1}"#)
                    == "wrong-backend")
        }

        @Test("a guest-memfd object is the kernel's, bound once, and goes with its last slot")
        mutating func guestMemfd() throws {
            let made = try asked("vm.create", #"{"vm":"v","backend":"kvm"}"#)["result"]
            let flags = made?["capabilities"]?["flags"]?.elements.compactMap(\.string) ?? []
            guard flags.contains("guest-memfd") else { try Test.cancel("no guest_memfd here") }
            for memory in [
                #""memory":"ram","size":"0x20000","backing":"memfd""#,
                #""memory":"private","size":"0x10000","backing":"guest-memfd""#,
            ] {
                let answer = try asked("memory.create", #"{"vm":"v",\#(memory)}"#)
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
            #expect(try asked.kind("memslots.submit", submit(both)) == nil)
            // The other way round: both are deleted and created, bound to the same files.
            let swapped = [
                slot(0, at: 0, bound(0x8000)), slot(1, at: 0x10_0000, bound(0)),
            ]
            #expect(try asked.kind("memslots.submit", submit(swapped)) == nil)
            let doubled = [
                slot(0, at: 0, bound(0)), slot(1, at: 0x10_0000, bound(0)),
            ]
            #expect(
                try asked.kind("memslots.submit", submit(doubled)) == "guest-memfd-range-bound")
            #expect(
                try asked.kind("memslots.submit", submit([slot(0, at: 0)]))
                    == "guest-memfd-missing")
            let memory = #"{"vm":"v","memory":"private"}"#
            #expect(try asked.kind("memory.destroy", memory) == "memory-in-use")
            #expect(try asked.kind("memslots.submit", submit([])) == nil)
            #expect(try asked.kind("memory.destroy", memory) == nil)
        }
    }
}
