import Foundation
import MemslotSimulator
import Memslots
import TestSupport
import Testing

@Suite("the README's example")
struct ReadmeExampleTests {
    @Test("it does what the README says of it")
    func runs() throws {
        // example
        let backend = SimulatedBackend()  // or KVMBackend, or your own: two functions
        let table = try MemslotTable(backend: backend)

        let ram = Memslot(
            guestPhysicalAddress: GuestPhysicalAddress(0), size: ByteCount(1 << 30),
            userspaceAddress: UserspaceAddress(0x7f00_0000_0000))
        try table.submit([ram])

        // Open a hole for a device: one slot becomes two, and no vCPU sees neither.
        var (low, high) = (ram, ram)
        low.size = ByteCount(0xa0000)
        high.guestPhysicalAddress = GuestPhysicalAddress(0xc0000)
        high.userspaceAddress = UserspaceAddress(0x7f00_000c_0000)
        high.size = ByteCount((1 << 30) - 0xc0000)
        let receipt = try table.submit([low, high])
        // end

        #expect(receipt.operations.map(\.call.name) == ["delete", "create", "create"])
        #expect(receipt.isOptimal && receipt.quiesced)
    }

    @Test("it stands in the README word for word")
    func isTheSame() throws {
        let here = URL(filePath: #filePath)
        let source = try String(contentsOf: here, encoding: .utf8)
        let example = try #require(
            source.components(separatedBy: "// example\n").dropFirst().first?
                .components(separatedBy: "        // end").first)
        let readme = try String(
            contentsOf: Repository.url("README.md"), encoding: .utf8)
        let unindented = example.split(separator: "\n", omittingEmptySubsequences: false)
            .map { $0.hasPrefix("        ") ? String($0.dropFirst(8)) : String($0) }
            .joined(separator: "\n")
        #expect(readme.contains("```swift\n" + unindented + "```"))
    }
}
