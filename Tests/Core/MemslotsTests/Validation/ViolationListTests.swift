import MemslotTestKit
import Testing

@testable import Memslots

@Suite("the list of faults")
struct ViolationListTests {
    @Test("the faults of one slot come in the kernel's check order, those with others last")
    func withinASlot() throws {
        var worst = slot(0, at: 0, flags: [.init(rawValue: 8)], space: 7)
        worst.id = SlotID(40_000)
        worst.guestPhysicalAddress = GuestPhysicalAddress(0 &- 4095)
        worst.size = ByteCount(8193)
        worst.userspaceAddress = UserspaceAddress(1)
        let found = try #require(faults(of: [worst, worst]))
        let own: [ViolationKind] = [
            .slotOutOfRange, .unsupportedFlag, .misalignedSize, .misalignedAddress,
            .badUserspaceAddress, .badAddressSpace, .addressOverflow,
        ]
        #expect(found.violations.map(\.kind) == own + own + [.duplicateSlot])
        #expect(found.violations.map(\.index) == own.map { _ in 0 } + own.map { _ in 1 } + [1])
    }

    @Test("a fault with another slot stands behind the slot's own, a fault of all at the end")
    func order() throws {
        let few = Capabilities(maxSlots: 2)
        let found = try #require(
            faults(
                of: [
                    slot(0, at: 0, pages: 4), slot(0, at: 1, flags: .guestMemfd),
                    slot(1, at: 2, pages: 0),
                ], few))
        #expect(
            found.violations.map(\.kind) == [
                .unsupportedFlag, .duplicateSlot, .overlap, .zeroSize, .tooManySlots,
            ])
        #expect(found.violations.map(\.index) == [1, 1, 1, 2, nil])
    }

    @Test("of 1,000 slots with 400 faults all 400 are listed, in array order")
    func fourHundred() throws {
        var slots = (0..<1_000).map { slot(UInt32($0), at: UInt64($0) * 4, pages: 2) }
        slots.reverse()
        var expected: [ViolationKind] = []
        for index in 0..<1_000 where index % 5 < 2 {
            switch index % 4 {
            case 0:
                slots[index].guestPhysicalAddress.rawValue += 1
                expected.append(.misalignedAddress)
            case 1:
                slots[index].userspaceAddress.rawValue += 1
                expected.append(.badUserspaceAddress)
            case 2:
                slots[index].size.rawValue -= 1
                expected.append(.misalignedSize)
            default:
                slots[index].flags = [.init(rawValue: 16)]
                expected.append(.unsupportedFlag)
            }
        }
        let found = try #require(faults(of: slots))
        #expect(found.count == 400)
        #expect(found.violations.count == 400)
        #expect(found.violations.map(\.kind) == expected)
        let indices = found.violations.compactMap(\.index)
        #expect(indices == (0..<1_000).filter { $0 % 5 < 2 })
    }

    @Test("no more are listed than asked for, but all are counted")
    func limit() throws {
        let slots = (0..<50).map { slot(UInt32($0), at: 0) }
        let found = try #require(faults(of: slots, limit: 10))
        #expect(found.violations.map(\.index) == Array(1...10))
        #expect(found.count == 49)
        #expect(found.message.hasSuffix("(49 faults in all)"))
    }

    @Test("overlap names the earliest slot met, as a search of all pairs does")
    func earliestOverlap() {
        var random = SeededRandom(seed: 1)
        var wrong: [String] = []
        for round in 0..<2_000 {
            let count = Int.random(in: 0...12, using: &random)
            let intervals = (0..<count).map { index in
                let start = UInt64.random(in: 0..<20, using: &random)
                return EarliestOverlap.Interval(
                    group: UInt64.random(in: 0..<2, using: &random), start: start,
                    end: start + UInt64.random(in: 1...6, using: &random), index: index)
            }
            var expected: [[Int]] = []
            for (index, one) in intervals.enumerated() {
                let met = intervals[..<index].first {
                    $0.group == one.group && $0.start < one.end && one.start < $0.end
                }
                if let met { expected.append([index, met.index]) }
            }
            let found = EarliestOverlap.find(in: intervals).map { [$0.index, $0.earliest] }
            if found != expected { wrong.append("round \(round): \(found), not \(expected)") }
        }
        #expect(wrong.isEmpty)
    }

    @Test("an array in which all meet all is judged in time")
    func allMeet() throws {
        let slots = (0..<20_000).map { slot(UInt32($0), at: UInt64($0), pages: 30_000) }
        let found = try #require(faults(of: slots))
        #expect(found.count == 19_999)
        #expect(found.violations.allSatisfy { $0.otherIndex == 0 })
    }

    @Test("faults found above come first for their slot, and its address is not judged again")
    func prior() throws {
        let prior = Violation(
            .unknownMemory, of: slot(1, at: 1), at: 1, member: "memory", detail: "no such memory")
        var second = slot(1, at: 1)
        second.userspaceAddress = UserspaceAddress(1)
        second.guestPhysicalAddress.rawValue += 1
        let found = try #require(
            faults(of: [slot(0, at: 0, pages: 0), second], prior: [prior]))
        #expect(
            found.violations.map(\.kind) == [.zeroSize, .unknownMemory, .misalignedAddress])
    }

    @Test("faults found above cost no time for every other slot")
    func manyPrior() throws {
        let reference = MemoryReference(object: MemoryObjectID(1), offset: .zero)
        let slots = (0..<30_000).map { slot(UInt32($0), at: UInt64($0), memory: reference) }
        let prior = slots.indices.map {
            Violation(.unknownMemory, of: slots[$0], at: $0, detail: "no such memory")
        }
        let found = try #require(faults(of: slots, prior: prior))
        #expect(found.count == 30_000)
    }
}
