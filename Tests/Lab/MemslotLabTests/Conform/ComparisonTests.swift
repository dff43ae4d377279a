import MemslotKVM
import MemslotLab
import MemslotProtocol
import MemslotScenario
import Memslots
import Testing

@Suite("comparison")
struct ComparisonTests {
    /// A simulator whose answers go through `alter` before they are told.
    private final class Altered: RawCallTarget {
        private let vm: SimulatedTarget
        private let alter: (RawCall, SimulatedTarget) -> RawReply

        init(
            _ capabilities: Capabilities = SimulatedTarget.recordedKernel,
            alter: @escaping (RawCall, SimulatedTarget) -> RawReply = { $1.carryOut($0) }
        ) {
            vm = SimulatedTarget(capabilities: capabilities)
            self.alter = alter
        }

        func carryOut(_ call: RawCall) -> RawReply { alter(call, vm) }

        func difference(from slots: [Memslot], protection: UInt64) -> String? {
            vm.difference(from: slots, protection: protection)
        }
    }

    private func report(
        seed: UInt64 = 1, count: Int = 3_000,
        _ makeTarget: @escaping Comparison.MakeTarget
    ) throws -> ComparisonReport {
        try Comparison(capabilities: SimulatedTarget.recordedKernel, makeTarget: makeTarget)
            .run(seed: seed, count: count)
    }

    @Test("a twin has no difference from itself, and every answer comes up")
    func itself() throws {
        let report = try report(count: 20_000) { Altered() }
        #expect(report.difference == nil)
        #expect(report.calls == 20_000)
        for answer in [
            "success", "EINVAL", "EEXIST", "EBADF", "ENOENT", "EFAULT", "written", "mmio",
        ] {
            #expect(report.answers[answer, default: 0] > 10, "\(answer)")
        }
    }

    @Test("a seed draws the same calls again, another seed others")
    func seeds() throws {
        let answers = try [1, 1, 2].map { seed in try report(seed: seed) { Altered() }.answers }
        #expect(answers[0] == answers[1])
        #expect(answers[0] != answers[2])
    }

    @Test("a limit that differs is shrunk to one call")
    func limit() throws {
        var capabilities = SimulatedTarget.recordedKernel
        capabilities.maxSlots = 32_763
        let report = try report { [capabilities] in Altered(capabilities) }
        let difference = try #require(report.difference)
        #expect(difference.lines.count == 1)
        guard case .setRegion(let region) = difference.lines.last?.call else {
            Issue.record("no slot call: \(difference)")
            return
        }
        #expect(region.slot & 0xffff == 32_763)
        #expect(difference.lines.last?.expected == RawReply(.invalidArgument))
        #expect(difference.simulated == RawReply(.success))
    }

    @Test("a log that is lost is shrunk to the calls that show it")
    func lostLog() throws {
        let report = try report {
            Altered { call, vm in
                let reply = vm.carryOut(call)
                guard reply.dirtyPages?.isEmpty == false else { return reply }
                return RawReply(.success, dirtyPages: [])
            }
        }
        let difference = try #require(report.difference)
        // A slot that logs, a write, a reading.
        #expect(difference.lines.count == 3)
        #expect(difference.lines.last?.expected?.dirtyPages == [])
        #expect(difference.simulated?.dirtyPages?.count == 1)
    }

    @Test("a deletion that is only claimed is found at the end, by what is installed")
    func claimed() throws {
        let report = try report(count: 40) {
            Altered { call, vm in
                guard case .setRegion(let region) = call, region.memorySize == 0 else {
                    return vm.carryOut(call)
                }
                let reply = vm.carryOut(call)
                guard reply.answer == .success else { return reply }
                // Puts another slot where nothing is to be.
                var other = region
                (other.slot, other.memorySize) = (20_000, 4096)
                (other.guestPhysicalAddress, other.userspaceAddress) = (0x5000_0000, 0)
                (other.flags, other.guestMemfd) = (0, nil)
                _ = vm.carryOut(.setRegion(other))
                return reply
            }
        }
        let difference = try #require(report.difference)
        #expect(difference.installed != nil)
        #expect(difference.lines.count == 2)
    }

    @Test("what is printed is read again as the same calls")
    func lines() throws {
        let calls: [RawCallLine] = [
            RawCallLine(
                .setRegion(
                    RawRegion(
                        slot: 1 << 16, flags: 4, guestPhysicalAddress: 4096, memorySize: 8192,
                        userspaceAddress: .max, guestMemfd: .file(index: 3),
                        guestMemfdOffset: 12)),
                expected: RawReply(.fileExists)),
            RawCallLine(.getDirtyLog(slot: 7, isWritable: false)),
            RawCallLine(
                .getDirtyLog(slot: 7, isWritable: true),
                expected: RawReply(.success, dirtyPages: [0..<3, 64..<65])),
            RawCallLine(
                .clearDirtyLog(slot: .max, firstPage: .max, pageCount: .max, words: [1, .max]),
                expected: RawReply(.noEntry)),
            RawCallLine(.clearDirtyLog(slot: 0, firstPage: 0, pageCount: 0, words: nil)),
            RawCallLine(.setManualDirtyLogProtect(.max), expected: RawReply(.invalidArgument)),
            RawCallLine(
                .guestWrite(0x1003), expected: RawReply(.success, exit: RawReply.written)),
        ]
        for (index, call) in calls.enumerated() {
            var writer = JSONWriter()
            writer.rawCall(call)
            let line = Array(writer.bytes.dropLast())
            #expect(try RawCallLine(line: line, number: index) == call)
        }
        let bad = [
            #"{"call":"reboot"}"#, #"{"call":"guest-write","guest_phys_addr":-1}"#,
            #"{"call":"KVM_GET_DIRTY_LOG","slot":4294967296}"#,
            #"{"call":"KVM_GET_DIRTY_LOG","dirty":[[1]]}"#,
            #"{"call":"KVM_GET_DIRTY_LOG","dirty":[[18446744073709551615,1]]}"#,
            #"{"call":"KVM_GET_DIRTY_LOG","size":0}"#, #"{"slot":0}"#,
        ]
        for line in bad {
            #expect(throws: UnusableInput.self) {
                try RawCallLine(line: Array(line.utf8), number: 1)
            }
        }
    }
}
