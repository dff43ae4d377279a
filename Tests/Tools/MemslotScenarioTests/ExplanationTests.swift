import Foundation
import MemslotScenario
import MemslotSimulator
import Memslots
import TestSupport
import Testing

@Suite("Why a slot call failed")
struct ExplanationTests {
    /// A simulated VM and the slots that its successful calls made.
    private struct Pair {
        let vm = SimulatedRawVM()
        var slots: [SlotKey: Memslot] = [:]

        func attempt(_ region: RawRegion) -> AttemptedCall {
            var call = AttemptedCall(
                region, slots: Array(slots.values), limits: SimulatedRawVM.recordedKernel)
            call.fileSize = SimulatedRawVM.guestMemfdSize.rawValue
            return call
        }

        /// The errno of the simulator, and the explanation.
        mutating func apply(_ region: RawRegion) -> (errno: Errno, explanation: Explanation)? {
            let call = attempt(region)
            if let errno = vm.setUserMemoryRegion(region) {
                return (errno, Explanation(call, errno: errno.name))
            }
            let slot = Memslot(region)
            slots[slot.assignedKey] = slot.size == .zero ? nil : slot
            return nil
        }
    }

    private static func rawFiles() throws -> [URL] {
        let folder = Repository.url("Fixtures")
        let kernel = try FileManager.default.contentsOfDirectory(
            at: folder.appending(path: "kernel"), includingPropertiesForKeys: nil)
        return kernel.filter { $0.path.hasSuffix(".raw.jsonl") }
            + [folder.appending(path: "vectors/random-1.jsonl")]
    }

    @Test("every refusal of the simulator has a certain explanation with its errno")
    func everyRefusal() throws {
        let files = try Self.rawFiles()
        #expect(files.count > 20)
        var visited: Set<SlotRule> = []
        var unexplained: [String] = []
        for file in files {
            var pair = Pair()
            var number = 0
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                number += 1
                let call = try RawCallLine(line: Array(line.utf8), number: number)
                guard case .setRegion(let region) = call.call, let refused = pair.apply(region)
                else { continue }
                if let rule = refused.explanation.rule,
                    rule.errno(on: SimulatedRawVM.recordedKernel) == refused.errno
                {
                    visited.insert(rule)
                } else {
                    unexplained.append("\(file.lastPathComponent):\(number): \(refused.errno)")
                }
            }
        }
        #expect(unexplained == [])
        // What no recorded call breaks: two need another VM, the others fail outside these rules.
        let rest: Set<SlotRule> = [.reserved, .memory, .otherProcess, .unreadable, .noSuchCall]
        #expect(Set(SlotRule.allCases).subtracting(visited) == rest)
    }

    @Test("random calls are explained too", arguments: 0..<20)
    func random(seed: UInt64) throws {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        func draw(_ values: [UInt64]) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            return values[Int((state >> 33) % UInt64(values.count))]
        }
        var pair = Pair()
        for _ in 0..<300 {
            let isNew = draw([0, 1]) == 1
            let region = RawRegion(
                slot: UInt32(draw([0, 1, 2, 3, 32_763, 32_764, 65_536])),
                flags: UInt32(draw([0, 0, 0, 1, 2, 4, 5, 8])),
                guestPhysicalAddress: draw([0, 0x1000, 0x2000, 1, 1 << 52, .max - 4095]),
                memorySize: draw([0, 0x1000, 0x2000, 5, 1 << 44]),
                userspaceAddress: draw([0x7f00_0000_0000, 0x7f00_0000_1000, 1, 1 << 47]),
                guestMemfd: isNew
                    ? (draw([0, 1]) == 0 ? .file(index: 0) : RawGuestMemfd.none) : nil,
                guestMemfdOffset: isNew ? draw([0, 0x1000, 8 << 20, 3]) : 0)
            guard let refused = pair.apply(region) else { continue }
            #expect(
                refused.explanation.rule?.errno(on: SimulatedRawVM.recordedKernel) == refused.errno,
                "\(region)")
        }
    }

    @Test("a reserved range, and what other errnos mean")
    func others() {
        var limits = SimulatedRawVM.recordedKernel
        limits.reservedRanges = [
            GuestPhysicalAddress(0xfee0_0000)..<GuestPhysicalAddress(0xfee0_1000)
        ]
        let region = RawRegion(
            slot: 0, flags: 0, guestPhysicalAddress: 0xfee0_0000, memorySize: 0x1000,
            userspaceAddress: 0x7f00_0000_0000)
        let call = AttemptedCall(region, slots: [], limits: limits)
        #expect(Explanation(call, errno: "EEXIST").rule == .reserved)
        #expect(Explanation(call, errno: "ENOMEM").description.contains("1 pages") == true)
        #expect(Explanation(call, errno: "EIO").description.contains("another process"))
        #expect(Explanation(call, errno: "EFAULT").rule == .unreadable)
        #expect(Explanation(call, errno: "ENOTTY").rule == .noSuchCall)
        let other = Explanation(call, errno: "EPERM")
        #expect(other.rule == nil && other.description.contains("seccomp"))
    }

    @Test("the upper half of the slot word is explained as the address space")
    func addressSpace() {
        let region = RawRegion(
            slot: 65_536, flags: 0, guestPhysicalAddress: 0, memorySize: 0x1000,
            userspaceAddress: 0x7f00_0000_0000)
        let call = AttemptedCall(region, slots: [], limits: .likely)
        let text = Explanation(call, errno: "EINVAL").description
        #expect(text.contains("slot=65536 is slot 0 of address space 1 (the upper 16 bits)"))
    }

    @Test("without a proof only causes are listed, and named as such")
    func candidates() {
        let region = RawRegion(
            slot: 2, flags: 2, guestPhysicalAddress: 0xffc8_4000, memorySize: 0x37_c000,
            userspaceAddress: 0)
        var call = AttemptedCall(region, slots: [], limits: .likely)
        call.hasUserAddress = false
        let explanation = Explanation(call, errno: "EINVAL", isWhole: false)
        #expect(explanation.rule == nil)
        #expect(
            explanation.description.contains("Possible causes: slot 2 exists with another size"))
        #expect(explanation.description.contains("KVM_CAP_READONLY_MEM"))
    }
}
