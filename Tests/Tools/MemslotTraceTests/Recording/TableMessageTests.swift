import CRunRecord
import MemslotTrace
import Memslots
import Testing

@Suite("vhost-user tables in a recording")
struct TableMessageTests {
    private func slot(_ kind: UInt32, at address: UInt64, size: UInt64 = 0x2000) -> crun_record {
        var record = crun_record()
        record.kind = kind
        record.region = crun_region(
            slot: UInt32(address >> 20), flags: 0, guest_phys_addr: address, memory_size: size,
            userspace_addr: 0x7f00_0000_0000, guest_memfd_offset: 0, guest_memfd: 0, form: 1)
        return record
    }

    private func table(
        _ address: UInt64, request: UInt32 = 37, isExact: Bool = true
    ) -> crun_record {
        var record = crun_record()
        record.kind = CRUN_TABLE
        record.table = crun_table(
            request: request, socket: 7, peer: 0, is_exact: isExact ? 1 : 0,
            guest_phys_addr: address, memory_size: 0x2000)
        return record
    }

    private var machine: crun_record {
        var record = crun_record()
        record.kind = CRUN_VM
        return record
    }

    private func findings(_ records: [crun_record], isAtomic: Bool = false) throws -> [String] {
        let memory = runMemory([machine] + records) { $0.mode = isAtomic ? CRUN_ATOMIC : 0 }
        let recording = memory.withUnsafeBytes { RunRecording($0) }
        let options = TraceImporter.Options()
        let imported =
            try isAtomic
            ? recording.importedCommits(options: options) : recording.imported(options: options)
        return imported.report.findings.map(\.finding.text)
    }

    private let early =
        "table sent to a process (descriptor 7) with memory that the guest did not have yet: "

    @Test("each is compared with the array at its place")
    func places() throws {
        let found = try findings([
            table(0x10_0000), slot(CRUN_ASKED, at: 0x10_0000), table(0x10_0000),
            table(0x10_1000), slot(CRUN_ASKED, at: 0x10_0000, size: 0), table(0x10_0000),
        ])
        #expect(
            found == [
                "line 2, ADD_MEM_REG: \(early)0x100000-0x101fff",
                "line 5, ADD_MEM_REG: \(early)0x102000-0x102fff",
                "line 7, ADD_MEM_REG: \(early)0x100000-0x101fff",
            ])
    }

    @Test("nothing is said where a slot changed meanwhile, of a removal, and of an empty range")
    func unknown() throws {
        var empty = table(0x40_0000)
        empty.table.memory_size = 0
        #expect(
            try findings([
                slot(CRUN_ASKED, at: 0x10_0000), table(0x20_0000, isExact: false),
                table(0x20_0000, request: 38), empty,
            ]).isEmpty)
    }

    @Test("under --atomic the kernel's array decides, not what was asked for")
    func atomic() throws {
        let records = [
            slot(CRUN_ASKED, at: 0x10_0000), table(0x10_0000), slot(CRUN_MADE, at: 0x10_0000),
            table(0x10_0000),
        ]
        #expect(
            try findings(records, isAtomic: true) == [
                "line 3, ADD_MEM_REG: \(early)0x100000-0x101fff"
            ])
    }
}
