import MemslotKVM
import MemslotLab
import MemslotProtocol
import MemslotScenario
import MemslotSimulator
import Memslots
import Testing

@Suite("comparison")
struct ComparisonTests {
    /// A simulator whose replies are changed by `alter`.
    private final class Altered: RawCallTarget {
        private let vm: SimulatedRawVM
        private let alter: (RawCall, SimulatedRawVM) -> RawReply

        init(
            _ capabilities: Capabilities = SimulatedRawVM.recordedKernel,
            alter: @escaping (RawCall, SimulatedRawVM) -> RawReply = { $1.apply($0) }
        ) {
            vm = SimulatedRawVM(capabilities: capabilities)
            self.alter = alter
        }

        func apply(_ call: RawCall) -> RawReply { alter(call, vm) }

        func difference(from slots: [Memslot], protection: UInt64) -> String? {
            vm.slots == slots ? nil : "other slots"
        }
    }

    private func report(
        seed: UInt64 = 1, count: Int = 3_000,
        _ makeTarget: @escaping Comparison.MakeTarget
    ) throws -> ComparisonReport {
        try Comparison(capabilities: SimulatedRawVM.recordedKernel, makeTarget: makeTarget)
            .run(seed: seed, count: count)
    }

    @Test("a simulator equals itself, and every reply occurs")
    func itself() throws {
        let report = try report(count: 20_000) { Altered() }
        #expect(report.difference == nil)
        #expect(report.calls == 20_000)
        for answer in [
            "success", "EINVAL", "EEXIST", "EBADF", "ENOENT", "EFAULT", "written", "mmio",
        ] {
            #expect(report.results[answer, default: 0] > 10, "\(answer)")
        }
    }

    @Test("a seed repeats its calls, and another seed draws others")
    func seeds() throws {
        let answers = try [1, 1, 2].map { seed in try report(seed: seed) { Altered() }.results }
        #expect(answers[0] == answers[1])
        #expect(answers[0] != answers[2])
    }

    @Test("a limit that differs is shrunk to one call")
    func limit() throws {
        var capabilities = SimulatedRawVM.recordedKernel
        capabilities.maxSlots = 32_763
        var slotCalls = 0
        for seed in 1...4 as ClosedRange<UInt64> {
            let report = try report(seed: seed) { [capabilities] in Altered(capabilities) }
            let difference = try #require(report.difference)
            #expect(difference.lines.count == 1)
            // Others are reads of a dirty log.
            guard case .setRegion(let region) = difference.lines.last?.call else { continue }
            slotCalls += 1
            #expect(region.slot & 0xffff == 32_763)
            #expect(difference.lines.last?.expected == RawReply(.invalidArgument))
            #expect(difference.simulated == RawReply(nil))
        }
        #expect(slotCalls > 0)
    }

    @Test("a lost log is shrunk to the calls that reveal it")
    func lostLog() throws {
        let report = try report {
            Altered { call, vm in
                let reply = vm.apply(call)
                guard reply.dirtyPages?.isEmpty == false else { return reply }
                return RawReply(nil, dirtyPages: [])
            }
        }
        let difference = try #require(report.difference)
        // A slot that logs, a write, a read.
        #expect(difference.lines.count == 3)
        #expect(difference.lines.last?.expected?.dirtyPages == [])
        #expect(difference.simulated?.dirtyPages?.count == 1)
    }

    @Test("a delete without effect is found at the end by the installed slots")
    func claimed() throws {
        let report = try report(count: 40) {
            Altered { call, vm in
                guard case .setRegion(let region) = call, region.memorySize == 0 else {
                    return vm.apply(call)
                }
                let reply = vm.apply(call)
                guard reply.errno == nil else { return reply }
                // Creates another slot.
                var other = region
                (other.slot, other.memorySize) = (20_000, 4096)
                (other.guestPhysicalAddress, other.userspaceAddress) = (0x5000_0000, 0)
                (other.flags, other.guestMemfd) = (0, nil)
                _ = vm.apply(.setRegion(other))
                return reply
            }
        }
        let difference = try #require(report.difference)
        #expect(difference.installed != nil)
        #expect(difference.lines.count == 2)
    }

    @Test("printed calls are read as the same calls")
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
                expected: RawReply(nil, dirtyPages: [0..<3, 64..<65])),
            RawCallLine(
                .clearDirtyLog(slot: .max, firstPage: .max, pageCount: .max, words: [1, .max]),
                expected: RawReply(.noEntry)),
            RawCallLine(.clearDirtyLog(slot: 0, firstPage: 0, pageCount: 0, words: nil)),
            RawCallLine(.setManualDirtyLogProtect(.max), expected: RawReply(.invalidArgument)),
            RawCallLine(
                .guestWrite(0x1003), expected: RawReply(nil, exit: RawReply.written)),
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
