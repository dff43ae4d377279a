import MemslotProtocol
import MemslotScenario
import MemslotService
import MemslotSimulator
import Memslots
import TestSupport
import Testing

@Suite("fixtures")
struct ScenarioFixtureTests {
    @Test("every fixture of the repository is found")
    func count() {
        // A missing folder must not be a green run: each folder has at least what it began with.
        let least = [
            "qemu": 9, "layouts": 15, "kernel": 9, "invalid": 61, "faults": 24, "plans": 49,
            "dirty": 39, "profiles": 6,
        ]
        for (folder, count) in least {
            #expect(
                FixtureFiles.scenarios.count { $0.hasPrefix(folder + "/") } >= count, "\(folder)")
        }
        #expect(FixtureFiles.rawCalls.count >= 29)
    }

    @Test("a scenario's expectations are met on a simulated VM", arguments: FixtureFiles.scenarios)
    func scenario(path: String) throws {
        var player = ScenarioPlayer(InProcessTarget(MemslotService()))
        var reader = ScenarioReader(LineReader(bytes: try FixtureFiles.bytes(path)))
        var played = 0
        while let step = try reader.next() {
            guard let line = try player.play(step) else { continue }
            played += 1
            for mismatch in line.mismatches {
                Issue.record(
                    """
                    \(path):\(line.line): \(line.method): \(mismatch.path)
                      wanted \(mismatch.wanted)
                      got    \(mismatch.got ?? "nothing")
                    """)
            }
        }
        #expect(played > 0)
    }

    @Test("raw calls get the errno that a kernel gave", arguments: FixtureFiles.rawCalls)
    func rawCalls(path: String) throws {
        let vm = SimulatedRawVM()
        var lines = LineReader(bytes: try FixtureFiles.bytes(path))
        var compared = 0
        while let line = try lines.next() {
            let operation = try RawCallLine(line: line, number: lines.lineNumber)
            let expected = try #require(operation.expected, "\(path):\(lines.lineNumber)")
            let reply = RawReply(vm.setUserMemoryRegion(try operation.region))
            // The first errno is that of the recorded kernel.
            #expect(reply == expected, "\(path):\(lines.lineNumber)")
            compared += 1
        }
        #expect(compared > 0)
    }
}
