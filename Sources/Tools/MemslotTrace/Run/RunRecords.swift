import CRunRecord

/// The records in the memory of a run, by their numbers from 0: the first half of the room stays, the
/// other half has the newest.
struct RunRecords {
    let header: crun_header
    /// The number of records that were begun.
    let begun: UInt64
    let room: UInt64
    private let records: UnsafePointer<crun_record>

    /// - Parameter bytes: the memory, which programs may write to and may have filled with anything.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let headerSize = MemoryLayout<crun_header>.size
        guard let base = bytes.baseAddress, bytes.count >= headerSize else { return nil }
        let header = base.assumingMemoryBound(to: crun_header.self)
        // Before anything else: once all of these are read, every later call ends after that.
        begun = crun_next(header)
        self.header = header.pointee
        let size = UInt64(bytes.count - headerSize) / UInt64(MemoryLayout<crun_record>.stride)
        room = min(crun_room(header), size & ~1)
        records = UnsafeRawPointer(base + headerSize).assumingMemoryBound(to: crun_record.self)
        guard room >= 4, header.pointee.magic == crun_magic() else { return nil }
    }

    /// The first number of the newest records: all before it, but for those that stay, are lost.
    var oldestOfRing: UInt64 { begun > room ? begun - room / 2 : room / 2 }

    /// The number of records that have been overwritten.
    var lost: UInt64 { oldestOfRing - room / 2 }

    /// Whether a record has been overwritten.
    func isLost(_ number: UInt64) -> Bool { number >= room / 2 && number < oldestOfRing }

    /// Copies a record; its kind is `CRUN_NOTHING` if it isn't finished, and `CRUN_OVERWRITTEN` if it
    /// is lost.
    func read(_ number: UInt64) -> crun_record {
        var copy = crun_record()
        copy.kind = crun_read(records, room, number, &copy)
        return copy
    }
}
