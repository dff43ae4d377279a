import MemslotTestKit
import Testing

@testable import Memslots

@Suite("findings about an array")
struct ArrayFindingsTests {
    @Test("only slots that go on in both address spaces with equal flags could be one")
    func runs() {
        let slots = [
            slot(0, at: 0, host: 0x100), slot(1, at: 1, host: 0x101),
            slot(2, at: 2, host: 0x102, flags: .readOnly),
            slot(3, at: 3, host: 0x104, flags: .readOnly),
        ]
        let findings = ArrayFindings(slots).all
        #expect(findings.map(\.kind) == [.couldBeOne])
        #expect(findings.first?.range == 0..<0x2000)
        #expect(ArrayFindings(slots.reversed()).all == findings)
    }

    @Test("a run of slots is one finding, not one a pair; the count is by address space")
    func folded() {
        let slots = (0..<40).map {
            slot(UInt32($0), at: UInt64($0) * 16, pages: 16, host: 0x1000 + UInt64($0) * 16)
        }
        let other = slot(0, at: 0, space: 1)
        #expect(
            ArrayFindings([other] + slots, maxSlots: 40).all.map(\.description) == [
                "warning: 40 of 40 slots are used",
                "hint: 40 slots, 0 to 39, are adjacent and equal, and could be one: 0x0-0x27ffff",
            ])
        #expect(ArrayFindings(slots, maxSlots: 39).all.first?.severity == .error)
        #expect(ArrayFindings(slots, maxSlots: 51).all.count == 1)
    }

    @Test("findings that the caller adds are limited as the others are, and counted")
    func added() {
        let more = (0..<70).map { Finding(.missing, .error, "range \($0)") }
        let findings = ArrayFindings([], more: more).all
        #expect(findings.count == 51)
        #expect(findings.last?.text == "20 more findings \"missing\"")
    }

    @Test("two slots on one host range are a finding, in one address space and object alone")
    func shared() throws {
        let (one, other) = (slot(0, at: 0, pages: 2, host: 0x100), slot(1, at: 16, host: 0x101))
        let finding = try #require(ArrayFindings([other, one]).all.first)
        #expect(finding.severity == .warning)
        #expect(finding.text.contains("slot 0 at 0x0-0x1fff and slot 1 at 0x10000-0x10fff"))
        #expect(finding.text.contains("user memory 0x101000-0x101fff"))
        let hidden = try #require(ArrayFindings([one, other], addresses: .hidden).all.first)
        #expect(hidden.text.contains("map the same user memory: "))
        #expect(ArrayFindings([one, other.with(.readOnly)]).all.map(\.severity) == [.hint])
        var apart = other
        apart.addressSpace = AddressSpaceID(rawValue: 1)
        #expect(ArrayFindings([one, apart]).all == [])
        func part(_ id: UInt32, _ object: UInt32, _ offset: UInt64) -> Memslot {
            let memory = MemoryReference(object: MemoryObjectID(object), offset: ByteCount(offset))
            return slot(id, at: UInt64(id) * 16, pages: 2, host: 0x100, memory: memory)
        }
        #expect(ArrayFindings([part(0, 1, 0), part(1, 1, 0x2000), part(2, 2, 0)]).all == [])
        let same = try #require(ArrayFindings([part(0, 1, 0), part(1, 1, 0x1000)]).all.first)
        #expect(same.text.contains("the same bytes 0x1000-0x1fff of one memory object"))
    }

    @Test("every slot that shares host memory with one below it is found, in any order")
    func sharedByForce() {
        var random = SeededRandom(seed: 18)
        for _ in 0..<200 {
            let slots = (0..<12).map { id in
                slot(
                    UInt32(id), at: UInt64(id) * 16, pages: 1 + random.next() % 4,
                    host: 0x1000 + random.next() % 48, space: UInt32(random.next() % 2))
            }
            let wanted = slots.filter { slot in
                slots.contains { other in
                    other != slot && other.addressSpace == slot.addressSpace
                        && (other.hostStart, other.assignedKey) < (slot.hostStart, slot.assignedKey)
                        && other.hostStart + other.size.rawValue > slot.hostStart
                }
            }
            let shared = ArrayFindings(slots.shuffled(using: &random)).all
                .filter { $0.kind == .sharedHostMemory }
            #expect(shared.count == wanted.count)
        }
    }

    @Test("a large slot whose addresses differ in their low 21 bits can't have huge pages")
    func hugePages() {
        let slots = [
            slot(0, at: 0, pages: 512, host: 0x1001), slot(1, at: 512, pages: 512, host: 0x2000),
            slot(2, at: 1024, pages: 511, host: 0x3001),
        ]
        let found = ArrayFindings(slots).all
        #expect(found.map(\.kind) == [.hugePages] && found.first?.range == 0..<0x20_0000)
        // The user address of memory by name is only sometimes known.
        let memory = MemoryReference(object: 1, offset: 0)
        let named = [slot(0, at: 0, pages: 512, host: 0x1001, memory: memory)]
        #expect(ArrayFindings(named).all == [])
        #expect(ArrayFindings(named, addresses: .hidden).all.count == 1)
    }

    @Test("of each kind the first are listed, and the rest is counted")
    func many() {
        let slots = (0..<180).map { slot(UInt32($0), at: UInt64($0) * 16, host: 0x1000) }
        let findings = ArrayFindings(slots).all
        #expect(findings.count == 51)
        #expect(findings.last?.description == #"warning: 129 more findings "shared-host-memory""#)
    }

    @Test("slots that no VM can have are left out, not trapped on")
    func impossible() {
        let wraps = slot(0, at: UInt64.max / 4096, pages: 2)
        var empty = slot(1, at: 0)
        empty.size = .zero
        #expect(ArrayFindings([wraps, empty], maxSlots: 1).all == [])
    }
}
