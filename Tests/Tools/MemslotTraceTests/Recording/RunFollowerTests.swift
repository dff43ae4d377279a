import CRunRecord
import Glibc
import MemslotTrace
import Memslots
import Testing

@Suite("A run that is followed while it lasts")
struct RunFollowerTests {
    /// Records of two VMs and three threads, drawn by `seed`.
    private func records(seed: UInt64) -> [crun_record] {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func draw(_ count: UInt64) -> UInt64 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return state % count
        }
        var records: [crun_record] = []
        for vm: UInt32 in 0..<2 {
            var record = crun_record()
            (record.kind, record.vm, record.thread) = (CRUN_VM, vm, 100)
            records.append(record)
        }
        // Far ahead, so that no pause up to now ends anything.
        var time = UInt64.max / 4
        var runs: [Int32: UInt64] = [:]
        var entries: UInt64 = 0
        for _ in 0..<120 {
            time += draw(4) == 0 ? 20_000_000 : draw(1_000_000)
            var record = crun_record()
            record.vm = UInt32(draw(2))
            record.thread = 100 + Int32(draw(3))
            record.start = time
            record.duration = draw(50_000)
            if draw(5) == 0, record.thread != 100 {
                runs[record.thread, default: 0] += 1
                entries += 1
                record.kind = CRUN_ENTERED
                records.append(record)
                continue
            }
            record.kind = CRUN_ASKED
            record.region.form = 1
            record.region.slot = UInt32(draw(4))
            record.region.guest_phys_addr = UInt64(record.region.slot) << 20
            record.region.memory_size = draw(2) == 0 ? 0 : 0x10000
            record.region.userspace_addr = 0x7f00_0000_0000
            record.result = draw(10) == 0 ? -17 : 0
            (record.runs, record.entries) = (runs[record.thread] ?? 0, entries)
            record.inside = UInt32(draw(2))
            time += record.duration
            records.append(record)
        }
        return records
    }

    private func memory(_ records: [crun_record], _ count: Int) -> [UInt8] {
        runMemory(records, begun: UInt64(count))
    }

    /// What two ways of reading a transaction must agree on.
    private struct Summary: Hashable, Comparable {
        let machine: Int
        let line: Int
        let calls: Int
        let generation: Generation
        let audit: HoleAudit

        init(_ transaction: ImportedTransaction, machine: Int) {
            self.machine = machine
            line = transaction.line
            calls = transaction.calls.count
            generation = transaction.generation
            audit = transaction.audit
        }

        static func < (left: Self, right: Self) -> Bool { left.line < right.line }
    }

    @Test("record by record it makes the transactions that all records make", arguments: 1...40)
    func agrees(seed: UInt64) throws {
        let records = records(seed: seed)
        let options = TraceImporter.Options()
        var reader = RunRecordReader(RunFollower(isAtomic: false, options: options))
        var live: [Summary] = []
        for count in 0...records.count {
            let news = memory(records, count).withUnsafeBytes {
                reader.read($0, isOver: count == records.count)
            }
            for case .transaction(let followed) in news {
                let transaction = followed.transaction
                live.append(Summary(transaction, machine: transaction.machine))
            }
        }
        let imported = try memory(records, records.count).withUnsafeBytes {
            try RunRecording($0).imported(options: options)
        }
        let scenario = imported.scenario
        let names = scenario.machines.map(\.name)
        let batch = scenario.transactions.map { transaction in
            let name = scenario.machines[transaction.machine].name
            return Summary(transaction, machine: name == "trace" ? 0 : 1)
        }
        #expect(Set(names).isSubset(of: ["trace", "trace-2"]))
        #expect(live.sorted() == batch.sorted())
        #expect(live.count > 10)
    }

    @Test("a record that is being written is waited for, and those behind it too")
    func waits() {
        let records = records(seed: 7)
        var held = records
        held[2].kind = CRUN_NOTHING
        // This process: it may still write.
        held[2].process = getpid()
        var reader = RunRecordReader(
            RunFollower(isAtomic: false, options: TraceImporter.Options()))
        let first = memory(held, held.count).withUnsafeBytes { reader.read($0) }
        #expect(first.count == 2)
        let rest = memory(records, records.count).withUnsafeBytes {
            reader.read($0, isOver: true)
        }
        #expect(rest.count > 10)
    }

    /// The records of one VM that `process` made.
    private func machine(of process: Int32) -> crun_record {
        var record = crun_record()
        (record.kind, record.process, record.thread) = (CRUN_VM, process, 100)
        return record
    }

    private func isGone(_ news: [RunEvent]) -> Bool {
        news.contains { if case .gone = $0 { true } else { false } }
    }

    @Test("a VM goes with a process that was seen alive, though nobody has waited for it yet")
    func zombie() throws {
        var pipes: [Int32] = [0, 0]
        try #require(pipe(&pipes) == 0)
        for end in pipes { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, pipes[0], 0)
        var process: pid_t = 0
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("cat"), nil]
        try #require(posix_spawnp(&process, "cat", &actions, nil, &words, environ) == 0)
        posix_spawn_file_actions_destroy(&actions)
        free(words[0])
        close(pipes[0])
        defer { waitpid(process, nil, 0) }

        let bytes = memory([machine(of: process)], 1)
        var reader = RunRecordReader(
            RunFollower(isAtomic: false, options: TraceImporter.Options()))
        #expect(!isGone(bytes.withUnsafeBytes { reader.read($0) }))
        #expect(!isGone(bytes.withUnsafeBytes { reader.read($0) }))
        // Its input ends, and so does it; it stays a zombie.
        close(pipes[1])
        var information = siginfo_t()
        try #require(waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) == 0)
        #expect(isGone(bytes.withUnsafeBytes { reader.read($0) }))
    }

    @Test("of a process that is not to be seen from here the VM stays until the end of the run")
    func unseen() {
        // No process has a number like this: as one in a namespace of its own.
        let bytes = memory([machine(of: .max)], 1)
        var reader = RunRecordReader(
            RunFollower(isAtomic: false, options: TraceImporter.Options()))
        for _ in 0..<3 { #expect(!isGone(bytes.withUnsafeBytes { reader.read($0) })) }
        #expect(isGone(bytes.withUnsafeBytes { reader.read($0, isOver: true) }))
    }
}
