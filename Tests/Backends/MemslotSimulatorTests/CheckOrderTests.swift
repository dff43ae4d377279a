import MemslotSimulator
import Memslots
import Testing

@Suite("the order of the kernel's checks")
struct CheckOrderTests {
    var kernel = SimulatedKernel(capabilities: SimulatedRawVM.recordedKernel)
    /// The page after the largest guest page.
    let beyond: UInt64 = 1 << 40

    init() throws {
        try kernel.setMemoryRegion(slot(0, page: 16))
        try kernel.setMemoryRegion(slot(1, page: 32))
    }

    @Test("an immutable property is checked before an overlap")
    mutating func immutabilityBeforeOverlap() {
        #expect(kernel.errno(of: slot(0, page: 32, pages: 5)) == .invalidArgument)
        #expect(kernel.errno(of: slot(0, page: 32)) == .fileExists)
    }

    @Test("an immutable property is checked before a descriptor")
    mutating func immutabilityBeforeDescriptor() {
        let closed = GuestMemfdBinding(descriptor: -1)
        let words = slot(0, page: 16, flags: .guestMemfd, guestMemfd: closed)
        #expect(kernel.errno(of: words) == .invalidArgument)
        var free = words
        free.id = SlotID(2)
        free.guestPhysicalAddress = GuestPhysicalAddress(0x10_0000)
        #expect(kernel.errno(of: free) == .badFileDescriptor)
    }

    @Test("an overlap is checked before a descriptor, and before the largest guest page")
    mutating func overlapFirst() throws {
        let closed = GuestMemfdBinding(descriptor: -1)
        let words = slot(2, page: 16, flags: .guestMemfd, guestMemfd: closed)
        #expect(kernel.errno(of: words) == .fileExists)
        try kernel.setMemoryRegion(slot(3, page: beyond - 4))
        #expect(kernel.errno(of: slot(2, page: beyond - 2)) == .fileExists)
        #expect(kernel.errno(of: slot(0, page: beyond - 2)) == .fileExists)
        #expect(kernel.errno(of: slot(2, page: beyond)) == .invalidArgument)
    }

    @Test("a descriptor is checked before the largest guest page")
    mutating func descriptorBeforeLargestPage() throws {
        let closed = GuestMemfdBinding(descriptor: 99)
        let words = slot(2, page: beyond - 2, flags: .guestMemfd, guestMemfd: closed)
        #expect(kernel.errno(of: words) == .badFileDescriptor)
        let file = try kernel.makeGuestMemfd(size: .pages(4))
        let open = GuestMemfdBinding(descriptor: file)
        let past = slot(2, page: beyond - 2, flags: .guestMemfd, guestMemfd: open)
        #expect(kernel.errno(of: past) == .invalidArgument)
        // The refused call released the file's range.
        #expect(
            kernel.errno(of: slot(2, page: 64, flags: .guestMemfd, guestMemfd: open)) == nil)
    }

    @Test("a page of KVM's own conflicts like a slot, in every address space")
    func reserved() {
        let reserved = GuestPhysicalAddress(0xfeff_c000)..<GuestPhysicalAddress(0xff00_0000)
        var kernel = SimulatedKernel(
            capabilities: Capabilities(addressSpaces: 2, reservedRanges: [reserved]))
        #expect(kernel.errno(of: slot(0, page: 0xfeffb, pages: 2)) == .fileExists)
        #expect(kernel.errno(of: slot(0, page: 0xfefff, pages: 1, space: 1)) == .fileExists)
        #expect(kernel.errno(of: slot(0, page: 0xfeffb, pages: 1)) == nil)
        #expect(kernel.errno(of: slot(1, page: 0xff000, pages: 1)) == nil)
        #expect(kernel.errno(of: slot(1, page: 0xfeffe, pages: 1)) == .fileExists)
    }

    @Test("the limits of each number")
    mutating func edges() {
        func words(_ change: (inout Memslot) -> Void) -> Memslot {
            var words = slot(9, page: 64)
            change(&words)
            return words
        }
        let end = kernel.capabilities.userspaceEnd.rawValue
        let refused = [
            words { $0.id = SlotID(32_764) },
            words { $0.size = ByteCount(4097) },
            words { $0.guestPhysicalAddress = GuestPhysicalAddress(0x40800) },
            words { $0.userspaceAddress = UserspaceAddress(0x7f00_0000_0800) },
            words { $0.userspaceAddress = UserspaceAddress(end - 3 * 4096) },
            words { $0.userspaceAddress = UserspaceAddress(.max - 4095) },
            words { $0.guestPhysicalAddress = GuestPhysicalAddress(0 &- 4 * 4096) },
            words {
                $0.size = .pages(1 << 31)
                $0.userspaceAddress = UserspaceAddress(0)
            },
            words { $0.guestPhysicalAddress = GuestPhysicalAddress((beyond - 3) * 4096) },
        ]
        for words in refused { #expect(kernel.errno(of: words) == .invalidArgument) }
        let accepted = [
            words { $0.id = SlotID(32_763) },
            words { $0.userspaceAddress = UserspaceAddress(end - 4 * 4096) },
            words { $0.userspaceAddress = UserspaceAddress(0) },
            words { $0.guestPhysicalAddress = GuestPhysicalAddress((beyond - 4) * 4096) },
            words {
                $0.size = .pages((1 << 31) - 1)
                $0.userspaceAddress = UserspaceAddress(0)
            },
        ]
        for words in accepted {
            #expect(kernel.errno(of: words) == nil)
            #expect(kernel.errno(of: words.deletion) == nil)
        }
    }
}
