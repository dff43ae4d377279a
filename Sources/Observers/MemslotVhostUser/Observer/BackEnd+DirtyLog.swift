internal import CLinux
internal import Glibc
internal import Memslots
internal import Synchronization

extension BackEnd {
    /// Begins a log if one of `slots` logs, before the back end gets `table`. Does not end one: what
    /// is written until the transaction commits belongs to the former array.
    mutating func beginLog(
        for slots: [Memslot], _ table: [VhostUserRegion], by deadline: Deadline
    ) throws(VhostUserError) {
        guard hasRings, slots.contains(where: \.isLogging) || isLogging else {
            return
        }
        guard offer.protocolFeatures.contains(.sharedLog), offer.features.contains(.logAll) else {
            throw .notNegotiated("a dirty log (LOG_SHMFD and LOG_ALL)")
        }
        let end = max(
            table.last?.guestRange.upperBound ?? 0, regions.last?.guestRange.upperBound ?? 0)
        if log.map({ $0.size < LogMemory.size(guestEnd: end) }) ?? true {
            let new = try LogMemory(guestEnd: end)
            try frontEnd.setLog(descriptor: new.descriptor.number, size: new.size, by: deadline)
            // The back end has replied: it does not write to the former one any more.
            harvestLog()
            log = new
        }
        try setLogging(true, by: deadline)
    }

    mutating func endLogIfUnused(by deadline: Deadline) throws(VhostUserError) {
        if !slots.contains(where: \.isLogging) { try setLogging(false, by: deadline) }
    }

    private mutating func setLogging(_ isOn: Bool, by deadline: Deadline) throws(VhostUserError) {
        guard isOn != isLogging else { return }
        var features = frontEnd.features
        if isOn { features.insert(.logAll) } else { features.remove(.logAll) }
        try frontEnd.set(features, by: deadline)
        isLogging = isOn
        // A stopped ring gets the flag when it restarts.
        for (index, ring) in rings.sorted(by: { $0.key < $1.key })
        where ring.isStarted && !ring.isStopped {
            try frontEnd.setAddresses(
                ofRing: index, to: ring.ring.addresses, logsUsed: isOn, by: deadline)
        }
    }

    /// Moves the bits of the log to `written`, translated by the slots in force.
    mutating func harvestLog() {
        guard let log else { return }
        let ascending = slots.sorted { $0.guestPhysicalAddress < $1.guestPhysicalAddress }
        var position = 0
        var bits: DirtyBitmap?
        func flush() -> DirtyPages? {
            guard let found = bits, !found.isEmpty else { return nil }
            bits = nil
            return DirtyPages(slot: ascending[position], runs: found.runs)
        }
        var harvested: [DirtyPages] = []
        log.removeAll { page in
            while position < ascending.count,
                ascending[position].guestPhysicalEnd.pageNumber <= page
            {
                if let pages = flush() { harvested.append(pages) }
                position += 1
            }
            guard position < ascending.count else { return }
            let slot = ascending[position]
            guard slot.guestPhysicalAddress.pageNumber <= page else { return }
            let own = page - slot.guestPhysicalAddress.pageNumber
            if bits == nil { bits = DirtyBitmap(pageCount: slot.pageCount) }
            bits?.insert(own..<own + 1)
        }
        if let pages = flush() { harvested.append(pages) }
        written += harvested
    }

    /// Returns what the back end wrote since the last call.
    mutating func removeWritten() -> [DirtyPages] {
        harvestLog()
        defer { written = [] }
        return written
    }
}

/// Where a back end records what it writes: a bit for 4 KiB on every host, the lowest page lowest.
final class LogMemory: Sendable {
    let descriptor: OwnedDescriptor
    /// The size in bytes, a multiple of 4096.
    let size: UInt64
    // Sendable: the words are accessed atomically.
    nonisolated(unsafe) private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// Allocates a clean log for guest addresses below `end`.
    init(guestEnd end: UInt64) throws(VhostUserError) {
        let file = OwnedDescriptor(
            adopting: try valueOfCall("memfd_create", clinux_memfd("memslots-log", 0)))
        let size = (Self.size(guestEnd: end) + 4_095) / 4_096 * 4_096
        guard ftruncate(file.number, off_t(size)) == 0 else {
            throw .systemCall("ftruncate", .last)
        }
        let mapping = mmap(nil, Int(size), PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0)
        guard let mapping, mapping != MAP_FAILED else { throw .systemCall("mmap", .last) }
        (descriptor, self.size) = (file, size)
        // Unsafe: a mapping of `size` zeros, of which every word is a valid atomic.
        words = mapping.bindMemory(to: Atomic<UInt64>.self, capacity: Int(size / 8))
    }

    deinit { munmap(words, Int(size)) }

    /// The bytes that a log needs for guest addresses below `end`.
    static func size(guestEnd end: UInt64) -> UInt64 { max(1, (end / 4_096 + 7) / 8) }

    /// Clears the log, and calls `body` for each guest page whose bit was set, ascending.
    func removeAll(_ body: (UInt64) -> Void) {
        for index in 0..<Int(size / 8) where words[index].load(ordering: .relaxed) != 0 {
            var word = words[index].exchange(0, ordering: .acquiringAndReleasing)
            while word != 0 {
                body(UInt64(index * 64 + word.trailingZeroBitCount))
                word &= word - 1
            }
        }
    }
}
