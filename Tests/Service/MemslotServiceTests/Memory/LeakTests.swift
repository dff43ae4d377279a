import Foundation
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

/// Each test runs in a process of its own, because it counts the process's descriptors.
@Suite("descriptors and mappings are released")
struct LeakTests {
    @Test("after they are passed, refused, exported and destroyed")
    func everything() async {
        await #expect(processExitsWith: .success) {
            let client = WireClient(MemslotService())
            try client.createVM("a")
            let before = MemoryFileCount.now
            for _ in 0..<20 { try client.passAndRelease() }
            let after = MemoryFileCount.now
            guard after == before else { exit(1) }
        }
    }

    @Test("when a VM ends, and not before")
    func endOfVM() async {
        await #expect(processExitsWith: .success) {
            let client = WireClient(MemslotService())
            let before = MemoryFileCount.now
            try client.createVM("b")
            try client.call(
                "memory.create",
                "{\"vm\":\"b\",\"memory\":\"ram\",\"backing\":\"memfd\",\"size\":4096}")
            let slot = "{\"slot\":0,\"guestPhysicalAddress\":0,\"size\":4096,\"memory\":\"ram\"}"
            guard try client.submit("b", slot).error == nil else { exit(1) }
            var wanted = before
            wanted.descriptors += 1
            wanted.mappings += 1
            guard MemoryFileCount.now == wanted else { exit(2) }
            try client.call("vm.destroy", "{\"vm\":\"b\"}")
            guard MemoryFileCount.now == before else { exit(3) }
        }
    }

    @Test("when a connection with ephemeral VMs ends")
    func endOfConnection() async {
        await #expect(processExitsWith: .success) {
            let client = WireClient(MemslotService())
            let before = MemoryFileCount.now
            try client.createVM("b", ",\"ephemeral\":true")
            try client.call(
                "memory.create", "{\"vm\":\"b\",\"memory\":\"ram\",\"fd\":0}",
                passing: [try memfd(4096)])
            guard MemoryFileCount.now != before else { exit(1) }
            client.service.end(client.connection)
            guard MemoryFileCount.now == before else { exit(2) }
        }
    }
}

extension WireClient {
    /// Passes descriptors in every way in which they are accepted or refused, and undoes the effects.
    fileprivate func passAndRelease() throws {
        let create = "{\"vm\":\"a\",\"memory\":\"ram\",\"fd\":0}"
        guard try call("memory.create", create, passing: [try memfd(4096)]).error == nil
        else { exit(2) }
        // The name exists, a seal is missing, a size is wrong, or no parameter names the descriptor.
        for descriptor in [try memfd(4096), try memfd(4096, sealed: false), try memfd(4097)] {
            guard try call("memory.create", create, passing: [descriptor]).error != nil
            else { exit(3) }
            let other = create.replacingOccurrences(of: "ram", with: "other")
            let odd = other.replacingOccurrences(of: "}", with: ",\"size\":3}")
            guard
                try call("memory.create", odd, passing: [try memfd(4096)]).path == "size",
                try call("memory.create", other, passing: [try memfd(4096, sealed: false)])
                    .path == "fd"
            else { exit(4) }
        }
        _ = try call("server.info", passing: [try memfd(4096), try memfd(4096)])
        _ = try send("not json", passing: [try memfd(4096)])
        let memory = "{\"vm\":\"a\",\"memory\":\"ram\"}"
        let export = try call("memory.export", memory)
        guard export.descriptors.count == 1 else { exit(5) }
        for descriptor in export.descriptors { close(descriptor) }
        // A notification has no reply that could carry a descriptor.
        let silent = try send("{\"method\":\"memory.export\",\"params\":\(memory)}")
        guard silent == nil else { exit(6) }
        let own = "{\"vm\":\"a\",\"memory\":\"own\",\"backing\":\"memfd\",\"size\":4096}"
        guard try call("memory.create", own).error == nil else { exit(7) }
        for name in ["ram", "own"] {
            let gone = try call("memory.destroy", "{\"vm\":\"a\",\"memory\":\"\(name)\"}")
            guard gone.error == nil else { exit(8) }
        }
    }
}
