import MemslotTestKit

/// The driver's half of a split virtqueue.
///
/// The ring lies in guest memory of which guest address and offset are equal; so does each buffer.
/// Used by one thread. Source: Virtual I/O Device (VIRTIO) Version 1.1, section 2.6.
struct SplitRing {
    /// A part of a request: guest bytes, and whether the device writes them.
    struct Buffer {
        var address: UInt64
        var size: UInt32
        var isWritten: Bool

        init(_ address: UInt64, _ size: UInt32, isWritten: Bool) {
            (self.address, self.size, self.isWritten) = (address, size, isWritten)
        }
    }

    /// The number of entries, a power of 2.
    let size: UInt16
    /// The guest address of the descriptor table.
    let descriptors: UInt64
    /// The guest address of the available ring, a multiple of 4.
    let available: UInt64
    /// The guest address of the used ring, a multiple of 4.
    let used: UInt64
    private let memory: GuestMemory
    private var free: [UInt16]
    /// The descriptors of each request in flight, by its head.
    private var chains: [UInt16: [UInt16]] = [:]
    private var availableIndex: UInt16 = 0
    private var usedIndex: UInt16 = 0

    /// Creates a ring on three pages from `address` on, which are zeros.
    init(in memory: GuestMemory, at address: UInt64, size: UInt16) {
        self.memory = memory
        self.size = size
        (descriptors, available, used) = (address, address + 4_096, address + 8_192)
        free = Array((0..<size).reversed())
    }

    /// The number of requests that the device has not returned.
    var inFlight: Int { chains.count }

    /// Makes a request available.
    ///
    /// - Returns: its head, by which ``nextUsed()`` names it; `nil` if too few descriptors are free.
    mutating func add(_ buffers: [Buffer]) -> UInt16? {
        guard free.count >= buffers.count, !buffers.isEmpty else { return nil }
        let chain = buffers.map { _ in free.removeLast() }
        for (position, buffer) in buffers.enumerated() {
            let hasNext = position + 1 < chain.count
            let flags: UInt32 = (hasNext ? 1 : 0) | (buffer.isWritten ? 2 : 0)
            let next = UInt32(hasNext ? chain[position + 1] : 0)
            let entry = descriptors + UInt64(chain[position]) * 16
            memory.store(UInt32(truncatingIfNeeded: buffer.address), entry)
            memory.store(UInt32(buffer.address >> 32), entry + 4)
            memory.store(buffer.size, entry + 8)
            memory.store(flags | next << 16, entry + 12)
        }
        let head = chain[0]
        memory.write(
            [UInt8(head & 0xff), UInt8(head >> 8)],
            at: available + 4 + UInt64(availableIndex % size) * 2)
        availableIndex &+= 1
        // Stored last, and atomically: the device reads the entry after it has seen the index.
        memory.store(UInt32(availableIndex) << 16, available)
        chains[head] = chain
        return head
    }

    /// Returns the head of the next request that the device has returned, or `nil`.
    mutating func nextUsed() -> UInt16? {
        guard UInt16(memory.load(used) >> 16) != usedIndex else { return nil }
        let head = UInt16(memory.load(used + 4 + UInt64(usedIndex % size) * 8))
        usedIndex &+= 1
        guard let chain = chains.removeValue(forKey: head) else {
            preconditionFailure("the device returned \(head), which is not in flight")
        }
        free += chain
        return head
    }
}
