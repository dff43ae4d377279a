import Foundation
import MemslotSimulator
import Memslots
import TestSupport
import Testing

@Suite("recorded vectors")
struct RecordedVectorTests {
    @Test("every result is that of a real kernel")
    func randomOperations() throws {
        let file = Repository.fixture("vectors/random-1.jsonl")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        let vm = SimulatedRawVM()
        var differences: [String] = []
        for line in lines {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
            let members = try #require(object as? [String: Any])
            func number(_ name: String) throws -> UInt64 {
                if let number = members[name] as? NSNumber { return number.uint64Value }
                let text = try #require(members[name] as? String)
                return try #require(UInt64(text.dropFirst(2), radix: 16))
            }
            let answer = vm.setUserMemoryRegion(
                RawRegion(
                    slot: UInt32(try number("slot")), flags: UInt32(try number("flags")),
                    guestPhysicalAddress: try number("guest_phys_addr"),
                    memorySize: try number("memory_size"),
                    userspaceAddress: try number("userspace_addr")))
            if answer?.name != members["errno"] as? String {
                differences.append("\(line) answered \(answer?.name ?? "null")")
            }
        }
        #expect(differences.isEmpty)
        #expect(lines.count == 724)
        #expect(vm.kernel.operationCounts.creates > 50)
    }
}
