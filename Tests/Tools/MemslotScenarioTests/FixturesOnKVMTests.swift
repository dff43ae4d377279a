import MemslotKVM
import MemslotProtocol
import MemslotScenario
import MemslotService
import Memslots
import TestSupport
import Testing

@Suite(
    "fixtures on /dev/kvm", .serialized,
    .enabled(
        if: KVMSystem.unavailability() == nil,
        "\(KVMSystem.unavailability()?.description ?? "KVM opens")"))
struct FixturesOnKVMTests {
    /// What was done with the lines of a scenario.
    private struct Tally {
        var played = 0
        var skipped: [String] = []
        var differences: [String] = []
    }

    private func play(_ path: String, on backend: BackendChoice = .kvm) throws -> Tally {
        let service = MemslotService(allowsRawAddresses: true)
        var player = ScenarioPlayer(InProcessTarget(service), backend: backend)
        var reader = ScenarioReader(LineReader(bytes: try FixtureFiles.bytes(path)))
        var tally = Tally()
        while let step = try reader.next() {
            guard let line = try player.play(step) else { continue }
            if let reason = line.skipped {
                tally.skipped.append(reason)
            } else {
                tally.played += 1
            }
            tally.differences += line.mismatches.map {
                "\(path):\(line.line): \(line.method): \($0.path): wanted \($0.wanted), "
                    + "got \($0.got ?? "nothing")"
            }
        }
        return tally
    }

    @Test("every scenario's expectations are met on a KVM VM, but for what is skipped by name")
    func all() throws {
        let scenarios = FixtureFiles.scenarios
        #expect(scenarios.count >= 204)
        var sum = Tally()
        var silent = 0
        for path in scenarios {
            let tally = try play(path)
            sum.played += tally.played
            sum.skipped += tally.skipped
            sum.differences += tally.differences
            if tally.played == 0 { silent += 1 }
            #expect(tally.played + tally.skipped.count > 0, "\(path)")
        }
        #expect(sum.differences == [])
        // Most lines, of most files, are played on any host.
        #expect(sum.played > sum.skipped.count, "\(sum.played), \(sum.skipped.count)")
        #expect(silent < scenarios.count / 4, "\(silent)")
        #expect(!sum.skipped.contains(""))
    }

    @Test("a recorded VMM's whole course is played, unless a slot is in KVM's own pages")
    func recorded() throws {
        let path = "qemu/q35-seabios-boot.jsonl"
        #expect(FixtureFiles.scenarios.contains(path))
        let tally = try play(path, on: .auto)
        #expect(tally.differences == [])
        #expect(tally.skipped == [])
        #expect(tally.played > 10)
    }

    @Test("what is expected and does not come is found on KVM too")
    func unmet() throws {
        let lines = """
            {"method":"vm.create","params":{"vm":"v","backend":"simulated"}}
            {"method":"guest.touch","params":{"vm":"v","guestPhysicalAddress":0,"size":1}}
            {"method":"memslots.get","params":{"vm":"v"},"expect":{"result":{"generation":1}}}
            {"method":"memslots.submit","params":{"vm":"v","slots":[]},"expect":{"error":{"data":{"kind":"overlap"}}}}
            """
        var player = ScenarioPlayer(
            InProcessTarget(MemslotService(allowsRawAddresses: true)), backend: .kvm)
        var reader = ScenarioReader(LineReader(bytes: Array(lines.utf8)))
        var played: [ScenarioPlayer.Played] = []
        while let step = try reader.next() {
            if let line = try player.play(step) { played.append(line) }
        }
        #expect(played.map { $0.skipped != nil } == [false, true, false, false])
        #expect(played.map(\.mismatches.isEmpty) == [true, true, false, false])
    }
}
