import MemslotSimulator
import Memslots
import Testing

@Suite("the effect of a call")
struct ClassificationTests {
    var kernel = SimulatedKernel(capabilities: SimulatedRawVM.recordedKernel)

    mutating func change(_ words: Memslot) -> SlotChange? {
        try? kernel.setMemoryRegion(words)
    }

    @Test("size 0 deletes an installed slot, and is EINVAL without one")
    mutating func deletion() {
        let words = slot(3, page: 16)
        #expect(kernel.errno(of: words.deletion) == .invalidArgument)
        #expect(change(words) == .create)
        // Address, flags and user memory of a deletion only have to be well formed.
        let other = slot(3, page: 999, flags: .readOnly, host: 77).deletion
        #expect(change(other) == .delete)
        #expect(kernel.errno(of: words.deletion) == .invalidArgument)
        #expect(kernel.slots.isEmpty)
    }

    @Test("a deletion of misaligned words is refused")
    mutating func malformedDeletion() {
        #expect(change(slot(3, page: 16)) == .create)
        var words = slot(3, page: 16).deletion
        words.guestPhysicalAddress = GuestPhysicalAddress(1)
        #expect(kernel.errno(of: words) == .invalidArgument)
        words = slot(3, page: 16).deletion
        words.userspaceAddress = UserspaceAddress(1)
        #expect(kernel.errno(of: words) == .invalidArgument)
        words = slot(3, page: 16).deletion
        words.flags = MemslotFlags(rawValue: 1 << 16)
        #expect(kernel.errno(of: words) == .invalidArgument)
        words = slot(3, page: 16).deletion
        words.userspaceAddress = kernel.capabilities.userspaceEnd
        #expect(change(words) == .delete)
    }

    @Test("another address moves, with or without another log flag")
    mutating func moves() {
        #expect(change(slot(0, page: 16)) == .create)
        #expect(change(slot(0, page: 32)) == .move)
        #expect(change(slot(0, page: 48, flags: .logDirtyPages)) == .move)
        // Shifted, so that it overlaps itself.
        #expect(change(slot(0, page: 49, flags: .logDirtyPages)) == .move)
        #expect(change(slot(0, page: 47)) == .move)
        #expect(kernel.slots == [slot(0, page: 47)])
        #expect(kernel.operationCounts.moves == 4)
    }

    @Test("another log flag alone reflags, and an identical call changes nothing")
    mutating func flagsAndNothing() {
        #expect(change(slot(0, page: 16)) == .create)
        #expect(change(slot(0, page: 16, flags: .logDirtyPages)) == .flagsOnly)
        #expect(change(slot(0, page: 16, flags: .logDirtyPages)) == .unchanged)
        #expect(change(slot(0, page: 16)) == .flagsOnly)
        #expect(kernel.operationCounts.reflags == 2)
        #expect(kernel.operationCounts.unchanged == 1)
    }

    @Test("size, user memory and the read-only flag can't be changed in place")
    mutating func immutables() {
        let old = slot(0, page: 16, pages: 4)
        #expect(change(old) == .create)
        #expect(kernel.errno(of: slot(0, page: 16, pages: 5)) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 16, host: 1)) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 16, flags: .readOnly)) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 64, pages: 5)) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 16, flags: .guestMemfd)) == .invalidArgument)
        #expect(kernel.slots == [old])
        #expect(kernel.operationCounts.refused == 5)
    }

    @Test("a guest-memfd slot is refused every call but its deletion, even an identical one")
    mutating func guestMemfd() throws {
        let file = try kernel.makeGuestMemfd(size: .pages(16))
        let words = slot(
            0, page: 16, flags: .guestMemfd, guestMemfd: GuestMemfdBinding(descriptor: file))
        #expect(change(words) == .create)
        #expect(kernel.errno(of: words) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 16)) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 32)) == .invalidArgument)
        #expect(kernel.errno(of: words.deletion, .region) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 16).deletion, .region) == nil)
    }

    @Test("address spaces are independent, and slots may be adjacent")
    func addressSpaces() {
        var kernel = SimulatedKernel(capabilities: Capabilities(addressSpaces: 2))
        #expect(kernel.errno(of: slot(0, page: 16)) == nil)
        #expect(kernel.errno(of: slot(0, page: 17, space: 1)) == nil)
        #expect(kernel.errno(of: slot(1, page: 15, pages: 1)) == nil)
        #expect(kernel.errno(of: slot(2, page: 20, pages: 1)) == nil)
        #expect(kernel.errno(of: slot(3, page: 19, pages: 1)) == .fileExists)
        #expect(kernel.errno(of: slot(3, page: 16, pages: 1, space: 1)) == nil)
        #expect(kernel.errno(of: slot(0, page: 16, space: 2)) == .invalidArgument)
        #expect(kernel.slots.map(\.assignedKey.description) == ["0", "1", "2", "1:0", "1:3"])
    }
}
