import Glibc
import Testing

@testable import Memslots

/// Each in a process of its own, whose memory is limited and measured.
@Suite("what a carried page costs")
struct CarriedPageCostTests {
    @Test("at most 128 bytes for each slot that maps it, however large the slots are")
    func perSlot() async {
        await #expect(processExitsWith: .success) {
            limitMemory()
            var overlay = DirtyOverlay()
            let before = anonymousBytes()
            for index in 0..<200_000 as Range<UInt32> {
                let page = UInt64(index) * 9_973
                overlay.add(page..<page + 1, to: largestSlot(index))
            }
            guard anonymousBytes() - before <= 200_000 * 128 else { exit(1) }
            for index in 0..<200_000 as Range<UInt32> {
                let page = UInt64(index) * 9_973
                guard overlay.bitmap(of: largestSlot(index)).runs == [page..<page + 1] else {
                    exit(2)
                }
            }
        }
    }

    @Test("the same where one slot has many of them, near each other or not")
    func perPage() async {
        await #expect(processExitsWith: .success) {
            limitMemory()
            for distance in [1_000_003, 2] as [UInt64] {
                var bitmaps = [DirtyBitmap](
                    repeating: DirtyBitmap(pageCount: largestSlot(0).pageCount), count: 1_000)
                let before = anonymousBytes()
                for index in bitmaps.indices {
                    for page in 0..<300 as Range<UInt64> {
                        bitmaps[index].insert(page * distance..<page * distance + 1)
                    }
                }
                guard anonymousBytes() - before <= 300 * 1_000 * 128 else { exit(1) }
                guard bitmaps.allSatisfy({ $0.count == 300 }) else { exit(2) }
            }
        }
    }

    @Test("aliases of one page cost no more")
    func aliases() async {
        await #expect(processExitsWith: .success) {
            limitMemory()
            let slots = (0..<20_000 as Range<UInt32>).map(largestSlot)
            var bits = DirtyBitmap(pageCount: slots[0].pageCount)
            bits.insert(12_345..<12_346)
            var overlay = DirtyOverlay()
            guard overlay.carry([Harvested(slot: slots[0], bits: bits)], to: slots).isEmpty,
                slots.allSatisfy({ overlay.bitmap(of: $0) == bits })
            else { exit(1) }
        }
    }
}

/// A slot of as many pages as KVM allows.
private func largestSlot(_ id: UInt32) -> Memslot {
    Memslot(
        id: SlotID(id), guestPhysicalAddress: 0, size: ByteCount(0x7FFF_FFFF * 4_096),
        userspaceAddress: 4_096, flags: .logDirtyPages)
}

private func limitMemory() {
    var limit = rlimit(rlim_cur: 1 << 30, rlim_max: 1 << 30)
    setrlimit(__rlimit_resource_t(RLIMIT_DATA.rawValue), &limit)
}

/// The anonymous memory of this process, in bytes.
private func anonymousBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "re") else { exit(3) }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, 128, file) != nil else { exit(3) }
    let text = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let fields = String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { Int($0) }
    return (fields[1] - fields[2]) * 4_096
}
