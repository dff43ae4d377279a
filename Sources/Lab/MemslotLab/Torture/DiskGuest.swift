import CLinux
import Glibc
import MemslotTestKit
import MemslotVhostUser
import Memslots

/// A guest with eight requests to a virtio-blk disk in flight, which compares what it reads. Worker
/// n has each eighth block, descriptors 3n to 3n + 2, pages 1 + 2n and 2 + 2n; the split ring of 32
/// entries is on page 0. Source: Virtual I/O Device (VIRTIO) Version 1.1, 2.6 and 5.2.
final class DiskGuest: Sendable {
    static let blocks = 256
    static let pages: UInt64 = 17
    private static let (workers, available, used): (Int, UInt64, UInt64) = (8, 0x400, 0x800)

    struct Counts: Sendable {
        var (completed, wrong, lost, stops) = (0, 0, 0, false)
        /// The number of the last write to each block.
        var versions = [UInt64](repeating: 0, count: blocks)
    }

    let ring: VhostUserRing
    private let memory: GuestMemory
    private let start: UInt64
    private let state = Locked((Counts(), hasEnded: false))

    /// - Parameter start: the guest address of `memory`.
    init(_ memory: GuestMemory, at start: UInt64) {
        (self.memory, self.start) = (memory, start)
        let parts = [0, Self.available, Self.used].map { GuestPhysicalAddress(start + $0) }
        ring = VhostUserRing(
            index: 0, size: 32,
            addresses: VhostUserRingAddresses(
                descriptors: parts[0], available: parts[1], used: parts[2]),
            kick: clinux_eventfd(), call: clinux_eventfd())
    }

    deinit { for descriptor in [ring.kick, ring.call] { close(descriptor) } }
    var completed: Int { state.withLock { $0.0.completed } }

    /// Begins the requests on a thread of its own.
    func begin(seed: UInt64) throws(Errno) {
        try OwnThread { [self] in
            run(SeededRandom(seed: seed))
            state.change { $0.hasEnded = true }
        }.detach()
    }

    /// Lets the requests in flight end.
    func end() -> Counts {
        state.withLock { $0.0.stops = true }
        return state.withLock(waitingWhile: { !$0.hasEnded }) { $0.0 }
    }

    private func run(_ random: SeededRandom) {
        var (random, requests, returned) = (random, UInt16(0), UInt16(0))
        var current = [(block: Int, isWrite: Bool)](repeating: (0, false), count: Self.workers)
        func begin(_ worker: Int, _ versions: [UInt64]) {
            let block = random.draw(0...Self.blocks / Self.workers - 1) * Self.workers + worker
            let isWrite = Bool.random(using: &random)
            current[worker] = (block, isWrite)
            let header = UInt64(2 * worker + 1) * 4_096
            // A status that no device returns is behind the header.
            memory.write(Self.bytes([isWrite ? 1 : 0, UInt64(block * 8)]) + [0xff], at: header)
            let data = Self.contents(block, isWrite ? versions[block] + 1 : .max)
            memory.write(data, at: header + 4_096)
            let buffers: [(UInt64, UInt32, UInt32)] = [
                (header, 16, 1), (header + 4_096, 4_096, isWrite ? 1 : 3), (header + 16, 1, 2),
            ]
            for (index, (address, size, flags)) in buffers.enumerated() {
                let number = UInt32(3 * worker + index)
                let entry = UInt64(number) * 16
                memory.store(UInt32(start + address), entry)
                memory.store(size, entry + 8)
                memory.store(flags | (number + 1) << 16, entry + 12)
            }
            let place = Self.available + 4 + UInt64(requests % 32) * 2
            memory.write([UInt8(3 * worker), 0], at: place)
            requests &+= 1
            // Last, and atomically: the device reads the entry after it has seen the index.
            memory.store(UInt32(requests) << 16, Self.available)
            var one: UInt64 = 1
            write(ring.kick, &one, 8)
        }
        let clean = state.withLock { $0.0.versions }
        for worker in 0..<Self.workers { begin(worker, clean) }
        var patience = Deadline.after(.seconds(60))
        while returned != requests {
            guard UInt16(memory.load(Self.used) >> 16) != returned else {
                if patience.hasPassed {
                    return state.withLock { $0.0.lost = Int(requests &- returned) }
                }
                var entry = pollfd(fd: ring.call, events: Int16(POLLIN), revents: 0)
                var value: UInt64 = 0
                if poll(&entry, 1, 100) > 0 { read(ring.call, &value, 8) }
                continue
            }
            patience = .after(.seconds(60))
            let worker = Int(memory.load(Self.used + 4 + UInt64(returned % 32) * 8)) / 3
            returned &+= 1
            let (block, isWrite) = current[worker]
            let data = UInt64(2 * worker + 2) * 4_096
            let (stops, versions) = state.withLock { state in
                let expected = Self.contents(block, state.0.versions[block])
                state.0.completed += 1
                if memory.read(1, at: data - 4_080) != [0]
                    || !isWrite && memory.read(4_096, at: data) != expected
                {
                    state.0.wrong += 1
                } else if isWrite {
                    state.0.versions[block] += 1
                }
                return (state.0.stops, state.0.versions)
            }
            if !stops { begin(worker, versions) }
        }
    }

    /// What a block contains after its write number `version`; zeros before the first.
    static func contents(_ block: Int, _ version: UInt64) -> [UInt8] {
        let word = version == 0 ? 0 : UInt64(block) << 48 ^ version
        return bytes((0..<512).map { version == 0 ? 0 : word &* (2 * $0 + 1) })
    }

    private static func bytes(_ words: [UInt64]) -> [UInt8] { words.withUnsafeBytes { Array($0) } }
}
