import Glibc
import MemslotProtocol
import MemslotService
import TestSupport
import Testing
import WireTestSupport

@Suite("names are bytes", .serialized, .enabled(if: DaemonProcess.executable != nil))
struct NameTests {
    private static let composed = "caf\u{E9}"
    private static let decomposed = "cafe\u{301}"

    @Test("a composed and a decomposed letter make two VMs and two memory objects, also restored")
    func twoForms() throws {
        let scratch = try ScratchDirectory()
        let first = try DaemonProcess(stateIn: scratch)
        var client = try first.connect()
        for (index, vm) in [Self.composed, Self.decomposed].enumerated() {
            try client.makeVM(vm)
            for (number, memory) in [Self.composed, Self.decomposed].enumerated() {
                let pages = 1 + 2 * index + number
                try client.result(
                    "memory.create",
                    #"{"vm":"\#(vm)","memory":"\#(memory)","size":\#(pages * 4_096),"backing":"memfd"}"#
                )
            }
            _ = try client.ask(Line.submit(vm, id: index, pages: index + 1))
        }
        let before = try snapshot(&client)
        #expect(before.count == 2 && Set(before).count == 2)
        _ = first.end(by: SIGKILL)
        let second = try DaemonProcess(
            in: first.directory, arguments: ["--state-dir", scratch.state])
        var again = try second.connect()
        #expect(try snapshot(&again) == before)
        try again.result("vm.destroy", #"{"vm":"\#(Self.decomposed)"}"#)
        #expect(try snapshot(&again) == Array(before.suffix(1)))
    }

    /// What the wire shows of each VM, by name: the bytes decide the order.
    private func snapshot(_ client: inout ClientConnection) throws -> [[UInt8]] {
        try client.result("vm.list")["vms"]?.list.map { vm in
            let name = vm["vm"]?.string ?? ""
            let slots = try client.result("memslots.get", #"{"vm":"\#(name)"}"#).rawText
            let memories = try client.result("memory.list", #"{"vm":"\#(name)"}"#).rawText
            return Array((vm.rawText + slots + memories).utf8)
        } ?? []
    }
}
