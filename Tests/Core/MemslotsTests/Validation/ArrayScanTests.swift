import MemslotTestKit
import Testing

@testable import Memslots

@Suite("one look at an array")
struct ArrayScanTests {
    private let capabilities = Capabilities(
        maxSlots: 6, addressSpaces: 2, maxGuestPage: 14,
        flags: [.logDirtyPages, .readOnly, .guestMemfd],
        reservedRanges: [GuestPhysicalAddress(13 << 12)..<GuestPhysicalAddress(14 << 12)],
        providesGuestMemfd: true)

    /// Every rule asked for every slot and pair, with nothing but the faults' count as answer.
    private func slowly(_ slots: [Memslot]) -> InvalidArray? {
        // A prior fault of the array as a whole keeps the look from deciding; it is taken off.
        let prior = Violation(.tooManySlots, in: .main, detail: "")
        let validator = ArrayValidator(
            slots: slots, capabilities: capabilities, prior: [prior])
        guard var faults = validator.faults(limit: .max) else { return nil }
        faults.violations.removeAll { $0 == prior }
        faults.count -= 1
        return faults.count == 0 ? nil : faults
    }

    /// Breaks something in about half of the arrays.
    private func damaged(_ array: [Memslot], _ random: inout SeededRandom) -> [Memslot] {
        var slots = array
        for index in slots.indices where Int.random(in: 0..<9, using: &random) == 0 {
            switch Int.random(in: 0..<8, using: &random) {
            case 0: slots[index].size = .zero
            case 1: slots[index].guestPhysicalAddress.rawValue |= 1
            case 2: slots[index].guestPhysicalAddress = GuestPhysicalAddress(~0xfff)
            case 3: slots[index].userspaceAddress = UserspaceAddress(~0xfff)
            case 4: slots[index].id = SlotID(UInt32.random(in: 0..<8, using: &random))
            case 5: slots[index] = slots[index].at(UInt64.random(in: 0..<16, using: &random))
            case 6:
                slots[index].addressSpace = AddressSpaceID(UInt32.random(in: 0...2, using: &random))
            default: slots[index].id = nil
            }
        }
        return slots
    }

    @Test("finds the faults that asking every rule finds, whatever is present")
    func faults() throws {
        var arrays = RandomArrays(seed: 11)
        arrays.universe = 12
        var random = SeededRandom(seed: 12)
        var wrong: [String] = []
        var invalid = 0
        for round in 0..<4_000 {
            let drawn = arrays.next()
            let present =
                slowly(drawn) == nil ? drawn.sorted { $0.assignedKey < $1.assignedKey } : []
            let near = arrays.near(round % 2 == 0 ? present : drawn)
            let slots = damaged(
                round % 3 == 0 ? near.sorted { $0.assignedKey < $1.assignedKey } : near, &random)
            let answer = ArrayValidator(
                slots: slots, capabilities: capabilities, prior: [],
                present: MemslotArray(sortedByKey: present)
            ).faults(limit: .max)
            let expected = slowly(slots)
            if answer?.violations != expected?.violations { wrong.append("\(slots)") }
            if expected != nil { invalid += 1 }
        }
        #expect(wrong.isEmpty, "\(wrong.count), first \(wrong.first ?? "")")
        #expect(invalid > 400 && invalid < 3_600)
    }

    @Test("finds the changes that comparing slot by slot finds")
    func changes() {
        var arrays = RandomArrays(seed: 13)
        var wrong = 0
        var changed = 0
        for _ in 0..<4_000 {
            let old = arrays.next().sorted { $0.assignedKey < $1.assignedKey }
            let new = arrays.near(old).sorted { $0.assignedKey < $1.assignedKey }
            let scan = ArrayScan(new, present: old) { _ in false }
            let diff = MemslotDiff(from: old, to: new, scan.changes)
            let before = Dictionary(uniqueKeysWithValues: old.map { ($0.assignedKey, $0) })
            let after = Dictionary(uniqueKeysWithValues: new.map { ($0.assignedKey, $0) })
            let replaced = new.filter {
                before[$0.assignedKey].map { !$0.canBecome(after[$0.assignedKey] ?? $0) } ?? false
            }
            let stay = new.compactMap { slot in
                before[slot.assignedKey].map { MemslotPair(before: $0, after: slot) }
            }.filter { $0.before != $0.after && $0.before.canBecome($0.after) }
            let isEqual =
                diff.removed
                == old.filter {
                    after[$0.assignedKey] == nil || replaced.map(\.key).contains($0.key)
                }
                && diff.added
                    == new.filter { before[$0.assignedKey] == nil || replaced.contains($0) }
                && diff.moved
                    == stay.filter {
                        $0.before.guestPhysicalAddress != $0.after.guestPhysicalAddress
                    }
                && diff.reflagged
                    == stay.filter {
                        $0.before.guestPhysicalAddress == $0.after.guestPhysicalAddress
                            && $0.before.flags != $0.after.flags
                    }
            if !isEqual || !scan.keysAscend || diff != MemslotDiff(from: old, to: new) {
                wrong += 1
            }
            changed += diff.isEmpty ? 0 : 1
        }
        #expect(wrong == 0)
        #expect(changed > 2_000)
    }
}
