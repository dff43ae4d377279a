import MemslotScenario
import MemslotTrace
import Memslots
import Testing

@Suite("Damaged and odd logs")
struct DamagedLogTests {
    private func error(_ log: String) -> TraceError? {
        do throws(TraceError) {
            _ = try imported(log)
            return nil
        } catch {
            return error
        }
    }

    @Test("a log without a slot call is refused, with what it needs")
    func empty() {
        #expect(error("") == .noSlotCalls(lines: 0))
        #expect(error("1 1.000000 read(3) = 0\n") == .noSlotCalls(lines: 1))
        #expect("\(TraceError.noSlotCalls(lines: 1))".contains("-e trace=ioctl"))
    }

    @Test("a log of failed slot calls alone is read, and each is explained")
    func failed() throws {
        var log = LogWriter()
        log.createVM(1)
        log.set(1, 0, at: 0, size: 4097, result: "-1 EINVAL (Invalid argument)")
        let report = try imported(log.text).report
        #expect(report.failures.map(\.explanation.rule) == [.sizeAlignment])
        #expect(report.text.contains("size 0x1001 is not a multiple of 0x1000"))
    }

    @Test("a pointer instead of the arguments is counted and reported with its line")
    func undecoded() throws {
        var log = LogWriter()
        log.createVM(1)
        log.line(1, "ioctl(9, _IOC(_IOC_WRITE, 0xae, 0x49, 0xa0), 0x7ffea750ab38) = 0")
        #expect(error(log.text) == .undecoded(count: 1, line: 2))
        log.set(1, 1, at: 0, size: 4096)
        let result = try imported(log.text)
        #expect(result.callCounts == [2])
        #expect(result.report.counts[.undecodedCalls] == 1)
        #expect(result.report.surprises.map(\.surprise) == [.undecoded])
        #expect(result.lines[2].contains("\"recordedOperations\":2,\"undecodedOperations\":1"))
        #expect(result.report.text.contains("line 2: changes a slot in a way that strace"))
    }

    @Test(
        "a slot call that isn't as strace writes it is left out, with line and column",
        arguments: [
            ("{slot=zz, flags=0}", 50, "a number of at most 32 bits"),
            ("{slot=0, flags=KVM_MEM_X}", 59, "KVM_MEM_… or a number"),
            ("{slot=0 flags=0}", 51, "a comma or }"),
            ("{slot=99999999999}", 50, "a number of at most 32 bits"),
            ("abc", 44, "{slot=…} or a pointer"),
        ])
    func malformed(region: String, column: Int, expected: String) throws {
        let line = "1 2.000000 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(region)) = 0\n"
        let report = try imported("# a\n" + line).report
        let wanted = "line 2, column \(column + 5): expected \(expected); the call is left out"
        #expect(report.counts.faults.map(\.description) == [wanted])
        #expect(
            report.headline.contains("unknown because 1 slot call in a form that can't be read"))
    }

    @Test("a split call's fault is reported on its own line")
    func malformedSplit() throws {
        let log = """
            1 2.000000 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(LogWriter.region(0, 0, 4096)) <unfinished ...>
            1 2.000001 <... ioctl resumed>) = x

            """
        let fault = try imported(log).report.counts.faults.first?.description
        #expect(fault?.hasPrefix("line 2, column 35: expected 0, -1 or ?") == true)
    }

    @Test("a call that the end of the process cut off may come back with any number")
    func cutOff() throws {
        let log = """
            1 2.000000 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(LogWriter.region(0, 0, 4096))) = 0
            1 2.000001 ioctl(9, KVM_SET_USER_MEMORY_REGION, \(LogWriter.region(1, 4096, 4096)) <unfinished ...>
            1 2.000002 <... ioctl resumed>) = 231

            """
        let result = try imported(log)
        #expect(result.callCounts == [1])
        #expect(result.report.counts[.unfinishedCalls] == 1)
    }

    @Test("small stamps are moments of their own, unless they begin with 0 or go back")
    func smallStamps() throws {
        func log(_ stamps: [String]) -> String {
            zip(0..., stamps).map { index, stamp in
                "1 \(stamp) ioctl(9, KVM_SET_USER_MEMORY_REGION, "
                    + LogWriter.region(index, UInt64(index) * 4096, 4096) + ") = 0\n"
            }.joined()
        }
        #expect(try imported(log(["1.000000", "1.000100", "1.000200"])).callCounts == [3])
        #expect(try imported(log(["0.000000", "1.000000", "1.000000"])).callCounts == [1, 1, 1])
    }

    @Test("a log may end anywhere")
    func cut() throws {
        var log = LogWriter()
        log.createVM(1)
        log.set(1, 0, at: 0, size: 4096)
        let whole = log.text
        log.set(1, 1, at: 4096, size: 4096)
        let bytes = Array(log.text.utf8)
        var faults: [Int] = []
        for end in whole.utf8.count..<bytes.count - 1 {
            var importer = TraceImporter()
            importer.consume(bytes[..<end])
            if try importer.finish().callCounts != [1] { faults.append(end) }
        }
        #expect(faults == [])
        #expect(try imported(String(log.text.dropLast())).callCounts == [2])
        let report = try imported(String(log.text.dropLast(8))).report
        #expect(report.counts.endsMidCall)
        #expect(report.text.contains("ends in the middle of a slot call"))
    }

    @Test("calls that contradict earlier ones are applied and reported")
    func contradictions() throws {
        var log = LogWriter()
        log.createVM(1)
        log.set(1, 0, at: 0, size: 0x4000)
        log.set(1, 0, at: 0, size: 0x8000)
        log.set(1, 1, at: 0x4000, size: 0x1000)
        log.set(1, 2, at: 0x123, size: 0x1000)
        log.set(1, 0xffff, at: 0x20000, size: 0x1000)
        log.set(1, 3, at: 0xffff_ffff_ffff_f000, size: 0x1000, backing: 0x1000)
        let result = try imported(log.text)
        #expect(
            result.report.surprises.map(\.surprise) == [
                .replacesSlot, .overlapsSlot(SlotKey(id: SlotID(0))), .impossible, .impossible,
                .impossible,
            ])
        #expect(result.callCounts == [6])
        #expect(result.scenario.finalSlots.first?.map(\.assignedID.rawValue) == [1])
    }

    @Test("changed bytes never trap, and never lose a call unsaid", arguments: 0..<4)
    func mutated(seed: UInt64) throws {
        var random = Random(state: seed)
        let original = Array(try Recordings.trace("q35-reset").utf8)
        var outcomes: [String: Int] = [:]
        for _ in 0..<60 {
            var bytes = original
            for _ in 0..<1 + random.next(6) {
                bytes[Int(random.next(UInt64(bytes.count)))] = UInt8(random.next(256))
            }
            do throws(TraceError) {
                var importer = TraceImporter()
                importer.consume(bytes)
                let result = try importer.finish()
                let sum = result.callCounts.reduce(0, +)
                outcomes[
                    sum == result.report.counts[.slotCalls] ? "imported" : "lost", default: 0] +=
                    1
                _ = result.lines.count + result.report.text.count
            } catch {
                outcomes["refused", default: 0] += 1
            }
        }
        #expect(outcomes["lost"] == nil)
        #expect((outcomes["imported"] ?? 0) > 0)
    }

    @Test("bytes at random and lines without end never trap")
    func binary() throws {
        var random = Random(state: 9)
        let bytes = (0..<400_000).map { _ in UInt8(random.next(256)) }
        var importer = TraceImporter()
        #expect(throws: TraceError.self) {
            importer.consume(bytes)
            _ = try importer.finish()
        }
        var log = LogWriter()
        log.createVM(1)
        log.set(1, 0, at: 0, size: 4096)
        log.text += String(repeating: "x", count: 200_000) + "\n"
        log.set(1, 1, at: 4096, size: 4096)
        let result = try imported(log.text)
        #expect(result.callCounts == [2])
        #expect(result.report.counts[.overlongLines] == 1)
    }

    @Test("an invalid VM name is replaced")
    func names() throws {
        var log = LogWriter()
        log.set(1, 0, at: 0, size: 4096)
        #expect(try imported(log.text, name: "a/b\n\"c\"").scenario.name == "a-b-\"c\"")
        #expect(try imported(log.text, name: "a\"b").lines[0].hasPrefix("{\"scenario\":\"a\\\"b\""))
        let long = try imported(log.text, name: String(repeating: "é", count: 200)).scenario.name
        #expect(long.utf8.count == 112)
        #expect(try imported(log.text, name: "").scenario.name == "trace")
    }
}
