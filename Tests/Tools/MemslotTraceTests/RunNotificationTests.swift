import CRunRecord
import MemslotProtocol
import MemslotTrace
import Memslots
import Testing
import WireTestSupport

@Suite("the notifications of a run")
struct RunNotificationTests {
    private let schema: JSONSchema

    init() throws {
        schema = try JSONSchema()
    }

    /// A slot that is split by a thread, its making, and with `isAtomic` the commit of both.
    private func memory(isAtomic: Bool) -> [UInt8] {
        var machine = crun_record()
        machine.kind = CRUN_VM
        func call(_ slot: UInt32, _ address: UInt64, _ size: UInt64, at time: UInt64)
            -> crun_record
        {
            var record = crun_record()
            record.kind = isAtomic ? CRUN_MADE : CRUN_ASKED
            record.region.form = 1
            (record.region.slot, record.region.guest_phys_addr, record.region.memory_size) = (
                slot, address, size
            )
            (record.region.userspace_addr, record.start) = (0x7f00_0000_0000 + address, time)
            record.inside = isAtomic ? 0 : 1
            return record
        }
        var commit = crun_record()
        (commit.kind, commit.region.form) = (isAtomic ? CRUN_COMMIT : CRUN_ENTERED, CRUN_BY_QUIET)
        (commit.asked, commit.made) = (3, 3)
        let space: UInt32 = 1 << 16
        let records = [
            machine, call(space, 0, 0x4000, at: 1_000), commit, call(space, 0, 0, at: 2_000),
            call(space, 0, 0x2000, at: 3_000), call(space | 1, 0x2000, 0x2000, at: 4_000), commit,
        ]
        return runMemory(records)
    }

    @Test("are as the schema says, with and without --atomic", arguments: [false, true])
    func described(isAtomic: Bool) throws {
        let options = TraceImporter.Options()
        let bytes = memory(isAtomic: isAtomic)
        var reader = RunRecordReader(RunFollower(isAtomic: isAtomic, options: options))
        let news = bytes.withUnsafeBytes { reader.read($0, isOver: true) }
        let recording = bytes.withUnsafeBytes { RunRecording($0) }
        let imported =
            isAtomic
            ? try recording.importedCommits(options: options)
            : try recording.imported(options: options)
        var lines = [
            RunNotification.ended(imported.report, recording, status: 0),
            RunNotification.ended(nil, recording, status: 137),
        ]
        for case .transaction(let followed) in news {
            lines.append(
                RunNotification.transaction(followed, of: "vm", generation: Generation(1)))
        }
        #expect(lines.count == 4)
        for line in lines {
            let event = try JSONDocument(parsing: line).root
            #expect(try schema.fault(of: event, at: "#/$defs/notification") == nil)
        }
        let last = try JSONDocument(parsing: lines[3]).root["params"]
        #expect(last?["missingBytes"]?.string == "0x4000")
        #expect(last?["holeCount"]?.int == 2)
        #expect(last?["longestNanoseconds"]?.uint64 == 2_000)
        #expect(last?["guestInside"]?.bool == !isAtomic)
        #expect((last?["commit"] == nil) == !isAtomic)
    }
}
