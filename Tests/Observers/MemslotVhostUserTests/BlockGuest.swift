import CLinux
import Glibc
import MemslotTestKit
import Memslots

@testable import MemslotVhostUser

/// A guest that always has requests to a device in flight, and checks what it reads.
///
/// Each of its workers owns every eighth block, and has one request at a time. Ring and buffers are
/// on the guest pages `ringPage` to `endPage`, which no transaction may take away.
final class BlockGuest: Sendable {
    static let workers = 8
    static let ringPage: UInt64 = 16
    static let bufferPage: UInt64 = 32
    static let endPage = bufferPage + UInt64(2 * workers)

    /// What the guest counted.
    struct Counts: Sendable {
        var completed = 0
        var wrongBlocks = 0
        var failed = 0
        /// Requests that were not returned within the patience of the guest.
        var lost = 0
        /// The longest time without a returned request since ``removeStall()``.
        var longestStall = Duration.zero
        /// The last number that was written to each block.
        var versions: [UInt32]
    }

    let kick: OwnedDescriptor
    let call: OwnedDescriptor
    private let memory: GuestMemory
    private let state: Locked<(counts: Counts, stops: Bool, hasEnded: Bool)>
    private let patience: Duration
    /// The name of a file in a virtio-fs share; `nil` for a disk.
    private let file: String?

    init(
        memory: GuestMemory, blocks: Int, file: String? = nil, patience: Duration = .seconds(60)
    ) throws {
        self.file = file
        kick = OwnedDescriptor(adopting: try valueOfCall("eventfd", clinux_eventfd()))
        call = OwnedDescriptor(adopting: try valueOfCall("eventfd", clinux_eventfd()))
        self.memory = memory
        self.patience = patience
        let versions = [UInt32](repeating: 0, count: blocks)
        state = Locked((Counts(versions: versions), false, false))
    }

    var ring: VhostUserRing {
        let page = Self.ringPage * 4_096
        return VhostUserRing(
            // The first ring of a share is for urgent requests.
            index: file == nil ? 0 : 1, size: 64,
            addresses: VhostUserRingAddresses(
                descriptors: GuestPhysicalAddress(page),
                available: GuestPhysicalAddress(page + 4_096),
                used: GuestPhysicalAddress(page + 8_192)),
            kick: kick.number, call: call.number)
    }

    /// The longest time without a returned request since the last call.
    func removeStall() -> Duration {
        state.withLock { state in
            defer { state.counts.longestStall = .zero }
            return state.counts.longestStall
        }
    }

    var completed: Int { state.withLock { $0.counts.completed } }

    /// Begins its requests on a thread of its own.
    func start(seed: UInt64) throws {
        try OwnThread { [self] in
            run(seed)
            state.change { $0.hasEnded = true }
        }.detach()
    }

    /// Lets the requests in flight end, and returns what was counted.
    func stop() -> Counts {
        state.withLock { $0.stops = true }
        return state.withLock(waitingWhile: { !$0.hasEnded }) { $0.counts }
    }

    private struct Worker {
        var block: Int
        var isWrite: Bool
        var version: UInt32
    }

    private func run(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var ring = SplitRing(in: memory, at: Self.ringPage * 4_096, size: 64)
        var workers: [UInt16: (number: Int, job: Worker)] = [:]
        guard let device = device(&ring) else {
            state.withLock { $0.counts.failed += 1 }
            return
        }
        for number in 0..<Self.workers { begin(number, device, &ring, &workers, &random) }
        signal()
        var lastReturn = ContinuousClock.now
        while ring.inFlight > 0 {
            guard let head = ring.nextUsed() else {
                let stall = ContinuousClock.now - lastReturn
                if stall > patience {
                    state.withLock { $0.counts.lost += ring.inFlight }
                    return
                }
                var entry = pollfd(fd: call.number, events: Int16(POLLIN), revents: 0)
                var value: UInt64 = 0
                if poll(&entry, 1, 100) > 0 { read(call.number, &value, 8) }
                continue
            }
            let now = ContinuousClock.now
            let stall = now - lastReturn
            lastReturn = now
            guard let (number, job) = workers.removeValue(forKey: head) else { continue }
            let stops = state.withLock { state in
                check(number, job, device, &state.counts)
                state.counts.longestStall = max(state.counts.longestStall, stall)
                return state.stops
            }
            if !stops {
                begin(number, device, &ring, &workers, &random)
                signal()
            }
        }
    }

    /// The device to send requests to; for a share, its opened file.
    private func device(_ ring: inout SplitRing) -> GuestDevice? {
        guard let file else { return .disk }
        let header = Self.bufferPage * 4_096
        return GuestDevice.open(file, header: header, in: memory) { buffers in
            guard ring.add(buffers) != nil else { return false }
            signal()
            let end = Deadline.after(patience)
            while !end.hasPassed {
                if ring.nextUsed() != nil { return true }
                usleep(100)
            }
            return false
        }
    }

    private func begin(
        _ number: Int, _ device: GuestDevice, _ ring: inout SplitRing,
        _ workers: inout [UInt16: (number: Int, job: Worker)],
        _ random: inout SeededRandom
    ) {
        let header = (Self.bufferPage + UInt64(2 * number)) * 4_096
        let data = header + 4_096
        let versions = state.withLock { $0.counts.versions }
        let block =
            .random(in: 0..<versions.count / Self.workers, using: &random) * Self.workers + number
        let job = Worker(
            block: block, isWrite: .random(using: &random), version: versions[block] + 1)
        memory.write(
            job.isWrite
                ? Self.contents(block, job.version) : [UInt8](repeating: 0xee, count: 4_096),
            at: data)
        let head = ring.add(
            device.request(block, isWrite: job.isWrite, header: header, data: data, in: memory))
        if let head { workers[head] = (number, job) }
    }

    private func check(
        _ number: Int, _ job: Worker, _ device: GuestDevice, _ counts: inout Counts
    ) {
        let header = (Self.bufferPage + UInt64(2 * number)) * 4_096
        counts.completed += 1
        if !device.hasSucceeded(header, in: memory) {
            counts.failed += 1
        } else if job.isWrite {
            counts.versions[job.block] = job.version
        } else if memory.read(4_096, at: header + 4_096)
            != Self.contents(job.block, counts.versions[job.block])
        {
            counts.wrongBlocks += 1
        }
    }

    /// What a block contains after its write number `version`; zeros before the first.
    static func contents(_ block: Int, _ version: UInt32) -> [UInt8] {
        if version == 0 { return [UInt8](repeating: 0, count: 4_096) }
        var random = SeededRandom(seed: UInt64(block) << 32 | UInt64(version))
        let words = (0..<512).map { _ in random.next() }
        return words.withUnsafeBytes { Array($0) }
    }

    private func signal() {
        var one: UInt64 = 1
        write(kick.number, &one, 8)
    }
}
