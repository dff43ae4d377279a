import Foundation
import MemslotTestKit
import Synchronization
import Testing

@testable import Memslots

/// Readers on many threads against submits that spoil what a receipt says is retired.
///
/// With the look at who is inside taken out of `ReaderRegistry.staying`, this crashes or fails. That
/// the fence is missing `ProcessFenceTests` shows: a submit's locks are slower than a store buffer.
@Suite("what is retired is not in use", .serialized)
struct ReaderStressTests {
    private static let slotCount = 24
    private static let regions = 4
    private static let spoiled: UInt64 = 0xdead_dead_dead_dead

    /// User memory for the slots of four arrays: each page begins with the generation it is for.
    // Sendable: written to where nobody reads, which is what is under test.
    private final class Pages: @unchecked Sendable {
        let base: UnsafeMutableRawPointer

        init() {
            base = .allocate(byteCount: regions * slotCount * 4096, alignment: 4096)
        }

        deinit { base.deallocate() }

        func place(_ generation: UInt64, _ slot: Int) -> UnsafeMutableRawPointer {
            base + (Int(generation) % regions * slotCount + slot) * 4096
        }

        func write(_ word: UInt64, for generation: UInt64) {
            for slot in 0..<slotCount {
                place(generation, slot).storeBytes(of: word, as: UInt64.self)
            }
        }

        func array(_ generation: UInt64) -> [Memslot] {
            (0..<slotCount).map { number in
                let address = UInt64(UInt(bitPattern: place(generation, number)))
                return slot(
                    UInt32(number), at: UInt64(number) * 4 + generation % 4, host: address / 4096)
            }
        }
    }

    /// What a reader found that isn't of the generation that it is in.
    private static func check(_ reader: borrowing TableReader, _ random: inout SeededRandom) -> Bool
    {
        let number = UInt64.random(in: 0..<UInt64(slotCount), using: &random)
        return reader.read { view in
            let generation = view.generation.rawValue
            let address = GuestPhysicalAddress((number * 4 + generation % 4) * 4096)
            guard let found = view.translate(address),
                let word = UnsafeRawPointer(
                    bitPattern: UInt(found.userspaceAddress.rawValue))?.load(as: UInt64.self)
            else { return false }
            return word == generation
        }
    }

    @Test("every reader finds its own generation, in the index and in memory")
    func stress() throws {
        let pages = Pages()
        pages.write(0, for: 0)
        let backend = QuietBackend()
        let table = try MemslotTable(backend: backend, installed: pages.array(0))
        table.pair.spoil = { index in
            // No address is in a record of these.
            for place in index.allRecords.indices {
                index.allRecords[place].size = 0
                index.allRecords[place].userspaceAddress = Self.spoiled
            }
        }
        let (stop, faults, reads) = (Shared(false), Shared(0), Shared(0))
        let readers = (0..<4).map { number in
            TestThread {
                var random = SeededRandom(seed: UInt64(number))
                while !stop.value {
                    // Readers come and go.
                    let reader = table.makeReader(as: "reader \(number)")
                    var wrong = 0
                    for _ in 0..<500 where !Self.check(reader, &random) { wrong += 1 }
                    let found = wrong
                    faults.update { $0 += found }
                    reads.update { $0 += 500 }
                }
            }
        }
        var generation: UInt64 = 0
        var late = 0
        while generation < 3_000 || reads.value < 100_000 {
            generation += 1
            pages.write(generation, for: generation)
            if try !table.submit(pages.array(generation)).retired {
                late += 1
                #expect(yieldThread { table.unretiredArrays.isEmpty })
            }
            pages.write(Self.spoiled, for: generation - 1)
        }
        stop.update { $0 = true }
        #expect(readers.allSatisfy { $0.join() })
        #expect(faults.value == 0, "of \(reads.value) reads, \(generation) submits, \(late) late")
        #expect(table.snapshot().generation == Generation(generation))
    }

    /// Takes every call.
    private final class QuietBackend: MemslotBackend {
        let capabilities = wideCapabilities

        func beginTransaction() {}
        func apply(_ call: SlotCall) throws(Errno) {}
        func collectDirtyPages() {}
        func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
            DirtyBitmap(pageCount: slot.pageCount)
        }
    }
}
