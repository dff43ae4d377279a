import Glibc
import Memslots
import Synchronization

/// The guest's memory: one mapping, and the slots that show parts of it.
struct Layout {
    let memory: GuestMemory
    /// Code and counters.
    let low: Memslot
    /// Where the guest works.
    let ram: Memslot
    /// Memory of a device, such as a screen.
    let bar: Memslot
    /// Memory that is plugged in later.
    let dimm: Memslot

    init() throws(Errno) {
        let size = ByteCount.pages(16)
        let memory = try GuestMemory(size: .pages(4 * 16))
        func slot(_ number: UInt64, at address: GuestPhysicalAddress) -> Memslot {
            Memslot(
                id: SlotID(UInt32(number)), guestPhysicalAddress: address, size: size,
                userspaceAddress: UserspaceAddress(memory.base.rawValue + number * size.rawValue))
        }
        self.memory = memory
        (low, ram) = (slot(0, at: 0), slot(1, at: 0x4000_0000))
        (bar, dimm) = (slot(2, at: 0xe000_0000), slot(3, at: 0x1_0000_0000))
    }

    /// The array before the guest runs.
    var atBoot: [Memslot] { [low, ram, bar] }

    /// All slots but the RAM, after the guest's firmware has moved the BAR.
    var devices: [Memslot] { [low, bar.moved(to: 0xf000_0000), dimm] }

    /// The address at which the RAM is split.
    var middle: GuestPhysicalAddress { 0x4000_8000 }
}

/// Zeroed memory of this process that a guest uses.
// Sendable: the guest writes to it at any time anyway; numbers are read and written atomically.
final class GuestMemory: @unchecked Sendable {
    let size: ByteCount
    private let start: UnsafeMutableRawPointer

    /// The address in this process.
    var base: UserspaceAddress { UserspaceAddress(UInt64(UInt(bitPattern: start))) }

    init(size: ByteCount) throws(Errno) {
        let mapped = mmap(
            nil, Int(size.rawValue), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped, mapped != MAP_FAILED else { throw Errno(rawValue: errno) }
        self.size = size
        start = mapped
    }

    deinit { munmap(start, Int(size.rawValue)) }

    /// The number at `offset` bytes, a multiple of 4.
    subscript(offset: UInt64) -> UInt32 {
        get { number(at: offset).pointee.load(ordering: .sequentiallyConsistent) }
        set { number(at: offset).pointee.store(newValue, ordering: .sequentiallyConsistent) }
    }

    /// Copies `bytes` to `offset`. Not while the guest uses that memory.
    func write(_ bytes: [UInt8], at offset: UInt64) {
        precondition(offset + UInt64(bytes.count) <= size.rawValue, "past the end of the memory")
        // Unsafe: within the mapping, as checked above.
        (start + Int(offset)).copyMemory(from: bytes, byteCount: bytes.count)
    }

    private func number(at offset: UInt64) -> UnsafeMutablePointer<Atomic<UInt32>> {
        precondition(offset % 4 == 0 && offset < size.rawValue, "past the end of the memory")
        // Unsafe: an aligned number within the mapping, which lives as long as this object.
        return (start + Int(offset)).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}
