import MemslotSimulator
import MemslotTestKit
import Memslots
import Testing

@Suite("memory attributes of the simulator")
struct MemoryAttributeTests {
    @Test("the kernel's checks: words that it refuses, and what they leave")
    func checks() throws {
        let backend = SimulatedBackend()
        var kernel = SimulatedKernel(capabilities: backend.capabilities)
        let isPrivate = SimulatedKernel.privateAttribute
        try kernel.setMemoryAttributes(0x1000, 0x2000, isPrivate)
        let refused: [(UInt64, UInt64, UInt64, UInt64)] = [
            (0, 0x1000, isPrivate, 1), (0, 0x1000, isPrivate | 1, 0), (0, 0, isPrivate, 0),
            (0, 0x1001, isPrivate, 0), (1, 0x1000, isPrivate, 0), (0, 1, 0, 0),
            (0xffff_ffff_ffff_f000, 0x1000, isPrivate, 0), (0x2000, .max - 0xfff, isPrivate, 0),
        ]
        for (address, size, attributes, flags) in refused {
            #expect(throws: Errno.invalidArgument) {
                try kernel.setMemoryAttributes(address, size, attributes, flags: flags)
            }
        }
        // No limit but the wrap.
        try kernel.setMemoryAttributes(0xffff_ffff_ffff_e000, 0x1000, isPrivate)
        #expect(kernel.privateRanges.count == 2)
        try kernel.setMemoryAttributes(0, 0xffff_ffff_ffff_f000, 0)
        #expect(kernel.privateRanges.ranges.isEmpty)
        let two = SimulatedBackend(capabilities: Capabilities(addressSpaces: 2))
        #expect(!two.capabilities.memoryAttributes)
        #expect(throws: Errno(rawValue: 25)) {
            try two.setMemoryAttributes(
                of: GuestRange(address: 0, size: .page), isPrivate: true)
        }
    }

    @Test("pages become private and shared as in a set of page numbers")
    func model() throws {
        let backend = SimulatedBackend()
        var random = SeededRandom(seed: 3)
        var model: Set<UInt64> = []
        for _ in 0..<3_000 {
            let (first, count) = (random.next() % 40, random.next() % 9 + 1)
            let isPrivate = random.next() % 2 == 0
            let range = GuestRange(
                address: GuestPhysicalAddress(first * 4096), size: .pages(count))
            try backend.setMemoryAttributes(of: range, isPrivate: isPrivate)
            if isPrivate {
                model.formUnion(first..<first + count)
            } else {
                model.subtract(first..<first + count)
            }
            var pages: [UInt64] = []
            for range in backend.privateRanges {
                // Ranges do not touch.
                #expect(pages.last.map { $0 + 1 < range.address.pageNumber } ?? true)
                pages += range.address.pageNumber..<range.address.pageNumber + range.size.pageCount
            }
            #expect(pages == model.sorted())
        }
    }

    @Test("a fault fires at an attribute by its number among all calls, and slots come and go")
    func faults() throws {
        let backend = SimulatedBackend()
        backend.beginTransaction()
        backend.inject(FaultInjection(operation: 1, errno: .outOfMemory))
        try backend.apply(.create(slot(0, page: 1)))
        let range = GuestRange(address: GuestPhysicalAddress(0x1000), size: .page)
        #expect(throws: Errno.outOfMemory) {
            try backend.setMemoryAttributes(of: range, isPrivate: true)
        }
        #expect(backend.privateRanges.isEmpty && backend.armedFaults.isEmpty)
        try backend.setMemoryAttributes(of: range, isPrivate: true)
        try backend.apply(.move(from: slot(0, page: 1), to: slot(0, page: 9)))
        try backend.apply(.delete(slot(0, page: 9)))
        #expect(backend.privateRanges == [range])
    }
}
