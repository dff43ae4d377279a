import Foundation
import MemslotTrace
import Memslots
import Testing

@Suite("Imported recordings")
struct FixtureScenarioTests {
    /// A scenario's line without what an import may word in its own way.
    private func essence(_ line: String) throws -> NSDictionary {
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        var members = try #require(object as? [String: Any])
        for free in ["expect", "comment", "scenario", "source"] where members[free] != nil {
            members[free] = "free"
        }
        if var params = members["params"] as? [String: Any] {
            params["vm"] = "free"
            members["params"] = params
        }
        members["expect"] = nil
        return members as NSDictionary
    }

    @Test(
        "a recording gives the scenario that stands beside it", arguments: Recordings.withScenario)
    func matchesScenario(name: String) throws {
        let lines = try imported(Recordings.trace(name)).lines
        let wanted = try Recordings.scenario(name)
        #expect(lines.count == wanted.count)
        for (line, wanted) in zip(lines, wanted) {
            #expect(try essence(line) == essence(wanted))
        }
    }

    @Test("names, times, outcomes and generations agree too", arguments: Recordings.withScenario)
    func matchesComments(name: String) throws {
        let lines = try imported(Recordings.trace(name)).lines
        for (line, wanted) in zip(lines, try Recordings.scenario(name)) {
            let line = try object(line)
            let wanted = try object(wanted)
            #expect(line["comment"] as? String == wanted["comment"] as? String)
            #expect(line["scenario"] as? String == wanted["scenario"] as? String)
            let result = (line["expect"] as? [String: Any])?["result"] as? [String: Any]
            let full = (wanted["expect"] as? [String: Any])?["result"] as? [String: Any]
            #expect(result?["outcome"] as? String == full?["outcome"] as? String)
            #expect(result?["generation"] as? Int == full?["generation"] as? Int)
        }
    }

    @Test("lines are a scenario's byte for byte", arguments: Recordings.withScenario)
    func matchesBytes(name: String) throws {
        let lines = try imported(Recordings.trace(name)).lines
        // The headers name different sources; a scenario expects more of an answer than an
        // import knows, behind what both expect.
        for (line, wanted) in zip(lines, try Recordings.scenario(name)).dropFirst() {
            let isRequest = line.hasPrefix("{\"method\":\"memslots.submit\"")
            if isRequest {
                #expect(line.hasSuffix("}}}"))
                #expect(wanted.hasPrefix(line.dropLast(3) + ","))
            } else {
                #expect(line == wanted)
            }
        }
    }

    @Test("a line is handed out at a time, each with its end")
    func wholeLines() throws {
        var lines: [[UInt8]] = []
        try imported(Recordings.trace("q35-reset")).scenario.forEachLine { lines.append($0) }
        #expect(try lines.count == Recordings.scenario("q35-reset").count)
        #expect(lines.allSatisfy { $0.firstIndex(of: UInt8(ascii: "\n")) == $0.count - 1 })
    }

    private func object(_ line: String) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        return try #require(object as? [String: Any])
    }

    @Test("every recording is looked at")
    func allThere() throws {
        let folder = Recordings.folder.appendingPathComponent("traces").path
        let files = try FileManager.default.contentsOfDirectory(atPath: folder)
        #expect(files.sorted() == Recordings.names.map { "\($0).txt" })
    }

    @Test("each successful call is counted once", arguments: Recordings.names)
    func countsCalls(name: String) throws {
        let trace = try Recordings.trace(name)
        // Counted here by other means than the importer's.
        var wanted = 0
        var unfinished: Set<Substring> = []
        for line in trace.split(separator: "\n") where !line.hasPrefix("#") {
            let thread = line.prefix { $0 != " " }
            let isSlotCall = line.contains("KVM_SET_USER_MEMORY_REGION")
            if isSlotCall, line.contains("<unfinished") {
                unfinished.insert(thread)
            } else if line.contains("resumed>"), unfinished.remove(thread) != nil {
                wanted += 1
            } else if isSlotCall {
                wanted += 1
            }
        }
        let result = try imported(trace)
        #expect(result.callCounts.reduce(0, +) == wanted)
        #expect(result.report.counts[.slotCalls] == wanted)
        #expect(result.report.surprises == [])
        #expect(!result.callCounts.contains(0))
    }

    @Test("the largest recording ends with its 256 modules and what was there before")
    func hotplugged() throws {
        let result = try imported(Recordings.trace("q35-dimm-hotplug-256"))
        let slots = try #require(result.scenario.finalSlots.first)
        #expect(slots.count { $0.size.rawValue == 8 << 20 } == 256)
        #expect(result.scenario.machines.count == 1)
    }

    @Test("chunks of any size give the same", arguments: [1, 7, 4096])
    func chunks(size: Int) throws {
        let name = "q35-reset"
        let bytes = Array(try Recordings.trace(name).utf8)
        var importer = TraceImporter()
        var start = 0
        while start < bytes.count {
            let end = min(start + size, bytes.count)
            importer.consume(bytes[start..<end])
            start = end
        }
        let lines = try importer.finish().lines
        #expect(
            try lines
                == imported(Recordings.trace(name)).lines.map {
                    $0.replacing("imported from an strace log", with: "imported from an strace log")
                })
    }

    @Test("the report names what QEMU took from the guest")
    func report() throws {
        let report = try imported(Recordings.trace("q35-seabios-boot")).report
        #expect(report.counts[.slotCalls] == 37)
        #expect(report.scenario.transactions.count == 10)
        #expect(report.transactionsWithHoles == 6)
        let text = report.text
        #expect(text.hasPrefix("q35-seabios-boot: 37 slot calls by 2 threads in 10 transactions"))
        #expect(text.split(separator: "\n").count >= 12)
    }

    @Test("the report's table has a row a transaction, with sizes and times for a person")
    func reportRows() throws {
        let rows = try imported(Recordings.trace("q35-reset")).report.text
            .split(separator: "\n").map { $0.split(separator: " ").joined(separator: " ") }
        let table = try #require(rows.firstIndex { $0.hasPrefix("# at thread calls what") })
        #expect(rows[table] == "# at thread calls what missing at most vCPU")
        #expect(rows[table + 1] == "1 0.000000 s 11716 4 +3 -1 - - unknown")
        #expect(rows[table + 11] == "11 6.263468 s 11719 4 +2 -2 140 KiB 897.0 ms unknown")
    }
}
