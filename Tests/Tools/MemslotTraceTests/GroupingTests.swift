import MemslotTrace
import Memslots
import Testing

@Suite("Calls that belong together")
struct GroupingTests {
    private func log(_ write: (inout LogWriter) -> Void) throws -> TraceImport {
        var log = LogWriter()
        log.createVM(5)
        write(&log)
        return try imported(log.text)
    }

    @Test("a pause over the gap ends a transaction of a thread that never runs vCPUs")
    func pauses() throws {
        var log = LogWriter()
        log.set(5, 0, at: 0, size: 4096)
        log.microseconds += 9999
        log.set(5, 1, at: 4096, size: 4096)
        log.microseconds += 10000
        log.set(5, 2, at: 8192, size: 4096)
        #expect(try imported(log.text).callCounts == [2, 1])
        #expect(try imported(log.text, gap: 11).callCounts == [3])
        #expect(try imported(log.text, gap: 0).callCounts == [1, 1, 1])
        #expect(try imported(log.text, gap: .max).callCounts == [3])
    }

    @Test("a vCPU thread's transaction ends where it enters KVM_RUN, not at a pause")
    func runs() throws {
        let result = try log { log in
            log.set(6, 0, at: 0, size: 4096)
            log.pause(milliseconds: 500)
            log.set(6, 1, at: 4096, size: 4096)
            log.run(6)
            log.set(6, 2, at: 8192, size: 4096)
            log.run(7)
            log.set(6, 3, at: 12288, size: 4096)
        }
        #expect(result.callCounts == [2, 2])
    }

    @Test("a KVM_RUN that is split counts where it begins")
    func splitRun() throws {
        let result = try log { log in
            log.set(6, 0, at: 0, size: 4096)
            log.line(6, "ioctl(13, KVM_RUN <unfinished ...>")
            log.line(6, "<... ioctl resumed>, 0) = -1 EINTR (Interrupted system call)")
            log.set(6, 1, at: 4096, size: 4096)
        }
        #expect(result.callCounts == [1, 1])
        #expect(result.report.counts[.runs] == 1)
    }

    @Test("another thread's slot call ends a transaction, its other calls don't")
    func threads() throws {
        let result = try log { log in
            log.set(5, 0, at: 0, size: 4096)
            log.line(6, "ioctl(9, KVM_CREATE_VCPU, 0) = 13")
            log.set(5, 1, at: 4096, size: 4096)
            log.set(6, 2, at: 8192, size: 4096)
            log.set(5, 3, at: 12288, size: 4096)
        }
        #expect(result.callCounts == [2, 1, 1])
    }

    @Test("a slot call that is split counts where it resumes")
    func splitCall() throws {
        let result = try log { log in
            let region = LogWriter.region(0, 0, 4096)
            log.line(5, "ioctl(9, KVM_SET_USER_MEMORY_REGION, \(region) <unfinished ...>")
            log.set(6, 1, at: 4096, size: 4096)
            log.line(5, "<... ioctl resumed>) = 0")
            log.set(5, 2, at: 8192, size: 4096)
        }
        #expect(result.callCounts == [1, 2])
        #expect(result.scenario.transactions.map(\.thread.rawValue) == [6, 5])
        #expect(result.scenario.transactions[1].line == 4)
    }

    @Test("failed calls are left out, and end no transaction")
    func failures() throws {
        let result = try log { log in
            log.set(5, 0, at: 0, size: 4096)
            log.set(6, 0, at: 0, size: 8192, result: "-1 EINVAL (Invalid argument)")
            log.set(5, 0, at: 0, size: 8192, result: "-1 EINVAL (Invalid argument)")
            log.set(5, 1, at: 4096, size: 4096)
            log.set(5, 1, at: 4096, size: 4096, result: "?")
        }
        #expect(result.callCounts == [2])
        #expect(result.report.counts.failedCalls == ["EINVAL": 2])
        #expect(result.report.counts[.unfinishedCalls] == 1)
        #expect(result.report.text.contains("left out: 2 failed calls (2 EINVAL)"))
    }

    @Test("a transaction that changes nothing is unchanged, and counts its calls")
    func unchanged() throws {
        let result = try log { log in
            log.set(5, 0, at: 0, size: 4096)
            log.pause(milliseconds: 20)
            log.set(5, 1, at: 4096, size: 4096)
            log.set(5, 1, at: 4096, size: 0)
            log.pause(milliseconds: 20)
            log.set(5, 0, at: 0, size: 4096)
        }
        #expect(result.callCounts == [1, 2, 1])
        #expect(
            result.scenario.transactions.map(\.outcome) == [.committed, .unchanged, .unchanged])
        #expect(result.scenario.transactions.map(\.generation.rawValue) == [1, 1, 1])
        #expect(
            result.lines[5].hasSuffix(
                "\"expect\":{\"result\":{\"outcome\":\"unchanged\",\"generation\":1}}}"))
    }

    @Test("KVM's four kinds of change are distinguished")
    func kinds() throws {
        let result = try log { log in
            log.set(5, 0, at: 0, size: 8192)
            log.set(5, 0, at: 4096, size: 8192, backing: 0x7f00_0000_0000)
            log.set(5, 0, at: 4096, size: 8192, flags: "1", backing: 0x7f00_0000_0000)
            log.set(5, 0, at: 4096, size: 0)
        }
        let changes = try #require(result.scenario.transactions.first?.changes)
        #expect(changes[.create] == 1)
        #expect(changes[.move] == 1)
        #expect(changes[.reflag] == 1)
        #expect(changes[.delete] == 1)
        #expect(result.report.surprises == [])
    }
}
