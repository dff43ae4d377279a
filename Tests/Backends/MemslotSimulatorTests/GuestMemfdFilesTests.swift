import Memslots
import Testing

@testable import MemslotSimulator

@Suite("guest_memfd files")
struct GuestMemfdFilesTests {
    let key = SlotKey(id: SlotID(0))

    func words(pages: UInt64) -> Memslot {
        slot(0, page: 16, pages: pages, flags: .guestMemfd, guestMemfd: .own)
    }

    @Test("an own file is kept while the slot's id and size stay")
    func ownFileStays() throws {
        var kernel = SimulatedKernel(
            capabilities: Capabilities(flags: .guestMemfd, providesGuestMemfd: true))
        try kernel.setMemoryRegion(words(pages: 4))
        let first = kernel.files.numberOfOwnFile(of: key)
        #expect(first != nil)
        // Moved: deleted and created within one transaction.
        kernel.files.dropIdleOwnFiles()
        try kernel.setMemoryRegion(words(pages: 4).deletion)
        try kernel.setMemoryRegion(words(pages: 4))
        kernel.files.dropIdleOwnFiles()
        #expect(kernel.files.numberOfOwnFile(of: key) == first)

        try kernel.setMemoryRegion(words(pages: 4).deletion)
        try kernel.setMemoryRegion(words(pages: 5))
        let second = kernel.files.numberOfOwnFile(of: key)
        #expect(second != nil && second != first)

        try kernel.setMemoryRegion(words(pages: 5).deletion)
        kernel.files.dropIdleOwnFiles()
        #expect(kernel.files.numberOfOwnFile(of: key) == nil)
    }

    @Test("a range is within its file by the kernel's signed sum")
    func fileEnd() throws {
        var kernel = SimulatedKernel(capabilities: SimulatedRawVM.recordedKernel)
        let file = try kernel.makeGuestMemfd(size: .pages(8))
        func errno(atOffset offset: UInt64) -> Errno? {
            let binding = GuestMemfdBinding(descriptor: file, offset: ByteCount(offset))
            let words = slot(0, page: 16, flags: .guestMemfd, guestMemfd: binding)
            defer { _ = kernel.errno(of: words.deletion) }
            return kernel.errno(of: words)
        }
        #expect(errno(atOffset: 4 * 4096) == nil)
        #expect(errno(atOffset: 5 * 4096) == .invalidArgument)
        #expect(errno(atOffset: 1 << 62) == .invalidArgument)
        #expect(errno(atOffset: 1 << 63) == .invalidArgument)
        #expect(errno(atOffset: 0 &- 4 * 4096) == .invalidArgument)
        // Observed on 6.18: the sum wraps `loff_t`, and the kernel accepts the range.
        #expect(errno(atOffset: (1 << 63) - 4096) == nil)
    }
}
