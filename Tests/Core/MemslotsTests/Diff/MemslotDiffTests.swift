import Testing

@testable import Memslots

@Suite("the difference of two arrays")
struct MemslotDiffTests {
    private struct Naive: Equatable {
        var added: [Memslot] = []
        var removed: [Memslot] = []
        var moved: [[Memslot]] = []
        var reflagged: [[Memslot]] = []
    }

    /// By the table of KVM's classes, slot by slot.
    private func naive(_ old: [Memslot], _ new: [Memslot]) -> Naive {
        var result = Naive()
        for key in Set((old + new).map(\.assignedKey)).sorted() {
            let before = old.first { $0.assignedKey == key }
            let after = new.first { $0.assignedKey == key }
            switch (before, after) {
            case (nil, let after?): result.added.append(after)
            case (let before?, nil): result.removed.append(before)
            case (let before?, let after?) where before != after:
                let isPrivate = (before.flags.union(after.flags)).contains(.guestMemfd)
                let isSame =
                    before.size == after.size
                    && before.userspaceAddress == after.userspaceAddress
                    && before.memory == after.memory
                    && before.flags.contains(.readOnly) == after.flags.contains(.readOnly)
                if isPrivate || !isSame {
                    result.removed.append(before)
                    result.added.append(after)
                } else if before.guestPhysicalAddress != after.guestPhysicalAddress {
                    result.moved.append([before, after])
                } else {
                    result.reflagged.append([before, after])
                }
            default: break
            }
        }
        return result
    }

    @Test("random arrays differ as a search by key says")
    func random() {
        var arrays = RandomArrays(seed: 2)
        var wrong = 0
        var kinds: [Int] = [0, 0, 0, 0]
        for _ in 0..<4_000 {
            let old = arrays.next()
            let new = Bool.random(using: &arrays.random) ? arrays.near(old) : arrays.next()
            let diff = MemslotDiff(from: old.byKey, to: new.byKey)
            let expected = naive(old, new)
            let isRight =
                diff.added == expected.added && diff.removed == expected.removed
                && diff.moved.map { [$0.before, $0.after] } == expected.moved
                && diff.reflagged.map { [$0.before, $0.after] } == expected.reflagged
                && diff.isEmpty == (expected == Naive())
            if !isRight { wrong += 1 }
            kinds[0] += diff.added.count
            kinds[1] += diff.removed.count
            kinds[2] += diff.moved.count
            kinds[3] += diff.reflagged.count
        }
        #expect(wrong == 0)
        #expect(kinds.allSatisfy { $0 > 500 }, "the draws reach every kind of change")
    }

    @Test("an array does not differ from itself, guest-memfd slots included")
    func same() {
        var arrays = RandomArrays(seed: 3)
        for _ in 0..<200 {
            let array = arrays.next().byKey
            #expect(MemslotDiff(from: array, to: array).isEmpty)
        }
    }

    @Test("a move that also switches the log is one change")
    func moveAndLog() {
        let before = slot(1, at: 4)
        let after = before.at(8).with(.logDirtyPages)
        let diff = MemslotDiff(from: [before], to: [after])
        #expect(diff.moved == [MemslotPair(before: before, after: after)])
        #expect(diff.reflagged.isEmpty && diff.added.isEmpty && diff.removed.isEmpty)
    }

    @Test("any change of a guest-memfd slot replaces it")
    func guestMemfd() {
        let before = slot(1, at: 4, flags: .guestMemfd)
        for after in [before.at(8), before.with([])] {
            let diff = MemslotDiff(from: [before], to: [after])
            #expect(diff.removed == [before])
            #expect(diff.added == [after])
        }
    }

    @Test("a binding that a slot without guest-memfd can't use makes no difference")
    func uselessBinding() {
        let before = slot(1, at: 4)
        let after = slot(1, at: 4, guestMemfd: GuestMemfdBinding(descriptor: 9))
        #expect(MemslotDiff(from: [before], to: [after]).isEmpty)
        let nowhere = slot(
            1, at: 4, memory: MemoryReference(object: MemoryObjectID(0), offset: .pages(2)))
        #expect(nowhere == before)
    }
}
