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
        let table = try MemslotTable(backend: SimulatedBackend())

        let ram = Memslot(
            guestPhysicalAddress: 0, size: .gibibytes(1), userspaceAddress: 0x7f00_0000_0000)
        let installed = try table.submit([ram]).slots[0]

        // Open a hole for a device: one slot becomes two, and no vCPU sees the RAM missing.
        let (low, rest) = installed.split(at: 0xa_0000)
        let (_, high) = rest.split(at: 0xc_0000)
        let receipt = try table.submit([low, high])
        // end

        #expect(receipt.operations.map(\.call.name) == ["delete", "create", "create"])
        #expect(receipt.isOptimal && receipt.quiesced)
        let hole = ByteCount(0xc_0000 - 0xa_0000)
        #expect(low.size.rawValue + high.size.rawValue + hole.rawValue == ram.size.rawValue)
    }

    @Test("the README contains it word for word")
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
        #expect(readme.contains("\n\n" + unindented + "print(receipt)\n```"))
    }
}
