import CRunRecord
import Glibc
import MemslotTrace
import Memslots
import Testing

@Suite("A run that is longer than there is room for")
struct LostRecordsTests {
    /// The room of these tests.
    private static let room = 64
    private static let size: UInt64 = 0x10000

    private func record(
        _ kind: UInt32, slot: UInt32 = 0, size: UInt64 = 0, at time: UInt64 = 0
    ) -> crun_record {
        var record = crun_record()
        (record.kind, record.thread, record.start, record.duration) = (kind, 7, time, 10)
        record.region.form = 1
        record.region.slot = slot
        record.region.guest_phys_addr = UInt64(slot) << 20
        record.region.memory_size = size
        record.region.userspace_addr = 0x7f00_0000_0000 + UInt64(slot) << 20
        return record
    }

    /// A VM with slots 0 to 3, of which slot 0 flips so often; every 11 records its whole array.
    private func records(flips: Int) -> [crun_record] {
        var records = [record(CRUN_VM)]
        records += (0..<4).map { record(CRUN_ASKED, slot: $0, size: Self.size, at: 10) }
        for flip in 0..<flips {
            let time = UInt64(flip + 1) * 100_000_000
            records.append(record(CRUN_ASKED, slot: 0, at: time))
            records.append(record(CRUN_ASKED, slot: 0, size: Self.size, at: time + 1_000))
            guard flip % 4 == 3 else { continue }
            var array = record(CRUN_ARRAY, at: time + 2_000)
            array.asked = 4
            // Its place in the ring had another record, of a call that was refused.
            array.result = -22
            records.append(array)
            records += (0..<4).map { record(CRUN_SLOT, slot: $0, size: Self.size, at: time) }
        }
        return records
    }

    @Test("its record has the first and the newest, exact totals, and whole arrays after the loss")
    func recording() throws {
        let records = records(flips: 1_000)
        let calls = records.count { $0.kind == CRUN_ASKED }
        let bytes = runMemory(records, room: Self.room) { $0.succeeded = UInt64(calls) }
        let recording = bytes.withUnsafeBytes { RunRecording($0) }
        #expect(recording.succeeded == calls)
        // Those that have no array before them are lost as well.
        #expect(recording.lost >= records.count - Self.room)
        #expect(recording.lost < records.count - Self.room + 13)
        let imported = try recording.imported(options: TraceImporter.Options())
        #expect(
            imported.scenario.finalSlots.map { $0.map(\.assignedID.rawValue) } == [[0, 1, 2, 3]])
        let report = imported.report
        #expect(report.surpriseCount == 0)
        #expect(report.holes.allSatisfy { $0.atMostNanoseconds == 1_010 }, "\(report.holes)")
        #expect(report.holes.count > 10)
        #expect(report.headline.contains("records between the first and the newest not kept"))
        let text = RunAudit(recording: recording, imported: imported, isAtomic: false).text
        #expect(text.contains("\(calls) calls; "))
        #expect(text.contains("these totals are exact"))
        // Without a hole before and after the loss nothing is known either.
        var quiet = imported.report
        for index in quiet.scenario.transactions.indices {
            quiet.scenario.transactions[index].audit.all = []
        }
        #expect(quiet.headline.contains("no hole is certain; unknown because"))
    }

    @Test("who follows it hears of the loss once, and gets each VM anew with its array")
    func followed() throws {
        let records = records(flips: 500)
        var reader = RunRecordReader(
            RunFollower(isAtomic: false, options: TraceImporter.Options()))
        let early = runMemory(Array(records[..<20]), room: Self.room)
        _ = early.withUnsafeBytes { reader.read($0) }
        let late = runMemory(records, room: Self.room)
        let news = late.withUnsafeBytes { reader.read($0, isOver: true) }
        #expect(news.count { if case .lost = $0 { true } else { false } } == 1)
        var writer = RunScenarioWriter(TraceImporter.Options())
        let text = String(decoding: news.flatMap { writer.lines(of: $0) }, as: UTF8.self)
        #expect(text.contains("whole arrays follow"))
        guard
            case .lost(let count)? = news.first(where: {
                if case .lost = $0 { true } else { false }
            })
        else { return }
        #expect(count > records.count - Self.room - 20 && count < records.count)
        var slots: [Memslot]?
        var isOfArray: [Bool] = []
        for case .transaction(let followed) in news {
            slots = followed.slots
            isOfArray.append(followed.operations.count == 4)
        }
        #expect(slots?.map(\.assignedID.rawValue) == [0, 1, 2, 3])
        // The first after the loss has the array; before it nothing of the VM is passed on.
        #expect(isOfArray.count { $0 } == 1)
    }

    @Test("a record is not taken for the one that it has overwritten")
    func overwritten() {
        // As if the VMM went on after the number of records was read.
        let bytes = runMemory(records(flips: 100), begun: 40, room: Self.room)
        let recording = bytes.withUnsafeBytes { RunRecording($0) }
        let first = records(flips: 100).prefix(Self.room / 2)
        #expect(recording.asked.count == first.count { $0.kind == CRUN_ASKED })
        #expect(recording.unfinished == 40 - Self.room / 2)
    }

    @Test(
        "no number of records that a VMM claims stops the reader",
        arguments: [UInt64(65), 1 << 20, UInt64.max / 2 + 1, .max - 1, .max])
    func hostile(begun: UInt64) {
        let bytes = runMemory(Array(records(flips: 4)), begun: begun, room: Self.room)
        var reader = RunRecordReader(
            RunFollower(isAtomic: false, options: TraceImporter.Options()))
        for _ in 0..<3 { _ = bytes.withUnsafeBytes { reader.read($0) } }
        _ = bytes.withUnsafeBytes { reader.read($0, isOver: true) }
        let recording = bytes.withUnsafeBytes { RunRecording($0) }
        #expect(UInt64(recording.lost) >= min(begun - UInt64(Self.room), UInt64(Int.max)))
        let imported = try? recording.imported(options: TraceImporter.Options())
        #expect(imported?.report.text.isEmpty != true)
    }
}
