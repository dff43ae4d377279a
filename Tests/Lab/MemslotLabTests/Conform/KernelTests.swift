import Foundation
import MemslotKVM
import MemslotLab
import MemslotProtocol
import MemslotScenario
import Memslots
import TestSupport
import Testing

@Suite(
    "the kernel and the simulator", .serialized,
    .enabled(
        if: KVMSystem.unavailability() == nil,
        "\(KVMSystem.unavailability()?.description ?? "KVM opens")"))
struct KernelTests {
    private let system: KVMSystem

    init() throws { system = try KVMSystem() }

    @Test("random calls, dirty logs and a guest's writes get the same replies")
    func random() throws {
        var comparison = try Comparison(with: system)
        comparison.callsPerVM = 2_000
        let report = try comparison.run(seed: 7, count: 6_000)
        let difference = report.difference
        #expect(difference == nil, "\(difference?.description ?? "")")
        #expect(report.results["written", default: 0] > 100)
        #expect(report.results["mmio", default: 0] > 10)
    }

    @Test("a simulator with another limit than the kernel is found")
    func otherLimit() throws {
        var capabilities = try KernelTarget.capabilities(of: system)
        capabilities.maxGuestPage -= 1
        let comparison = Comparison(capabilities: capabilities) { [system] () throws(KVMError) in
            try KernelTarget(system: system)
        }
        let difference = try #require(try comparison.run(seed: 1, count: 20_000).difference)
        #expect(difference.lines.count == 1)
    }

    @Test("installed slots are distinguished from others")
    func installed() throws {
        let kernel = try KernelTarget(system: system)
        let slot = Memslot(
            id: SlotID(3), guestPhysicalAddress: GuestPhysicalAddress(0x4000),
            size: ByteCount(0x2000), userspaceAddress: UserWindow.start)
        #expect(kernel.difference(from: [], protection: 0) == nil)
        #expect(kernel.difference(from: [slot], protection: 0) != nil)
        let region = RawRegion(
            slot: 3, flags: 0, guestPhysicalAddress: 0x4000, memorySize: 0x2000,
            userspaceAddress: UserWindow.start.rawValue)
        #expect(kernel.apply(.setRegion(region)) == RawReply(nil))
        #expect(kernel.difference(from: [slot], protection: 0) == nil)
        #expect(kernel.difference(from: [], protection: 0) != nil)
    }

    @Test("the fixtures' raw calls get the recorded errno")
    func fixtures() throws {
        let limits = try system.limits()
        guard limits.maxGuestPage == (1 << 40) - 1,
            limits.userspaceEnd == UserspaceAddress(0x7fff_ffff_f000),
            try KernelTarget.capabilities(of: system).addressSpaces == 1
        else { try Test.cancel("the fixtures are of a host with other limits") }
        let root = Repository.url("Fixtures")
        let all = FileManager.default.enumerator(atPath: root.path)?.allObjects as? [String]
        let files = (all ?? []).filter {
            $0.hasSuffix(".raw.jsonl") || $0.hasPrefix("vectors/")
        }
        #expect(files.count >= 29)
        for file in files {
            let kernel = try KernelTarget(system: system)
            var lines = LineReader(bytes: Array(try Data(contentsOf: root.appending(path: file))))
            while let line = try lines.next() {
                let call = try RawCallLine(line: line, number: lines.lineNumber)
                let reply = kernel.apply(call.call)
                if !call.isMet(by: reply) {
                    Issue.record("\(file):\(lines.lineNumber): \(reply)")
                }
            }
        }
    }
}
