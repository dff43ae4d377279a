import Foundation
import MemslotProtocol
import MemslotScenario
import MemslotService
import MemslotSimulator
import TestSupport
import Testing

@Suite("the examples of Docs/Protocol.md")
struct DocumentExampleTests {
    private let lines: [String]

    init() throws {
        let document = Repository.url("Docs/Protocol.md")
        lines = try String(contentsOf: document, encoding: .utf8).components(separatedBy: "\n")
    }

    /// Returns the contents of the first fenced block of `kind`.
    private func fenced(_ kind: String) -> [String] {
        guard let start = lines.firstIndex(of: "```\(kind)") else { return [] }
        return Array(lines[(start + 1)...].prefix { $0 != "```" })
    }

    @Test("the scenario and the raw operations do what they say")
    func otherFormats() throws {
        var player = ScenarioPlayer(InProcessTarget(MemslotService()))
        let scenario = fenced("jsonl")
        var reader = ScenarioReader(
            LineReader(bytes: Array(scenario.joined(separator: "\n").utf8)))
        var played = 0
        while let step = try reader.next() {
            guard let line = try player.play(step) else { continue }
            played += 1
            #expect(line.mismatches.map(\.path) == [])
        }
        #expect(played == 3)

        let vm = SimulatedRawVM()
        let raw = fenced("raw")
        for (number, line) in raw.enumerated() {
            let operation = try RawCallLine(line: Array(line.utf8), number: number + 1)
            #expect(
                RawReply(vm.setUserMemoryRegion(try operation.region)) == operation.expected,
                "\(line)")
        }
        #expect(raw.count == 3)
    }
}
