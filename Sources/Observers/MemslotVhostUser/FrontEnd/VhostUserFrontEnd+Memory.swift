public import Memslots

/// The memory table.
extension VhostUserFrontEnd {
    /// Replaces the whole table. The back end maps everything anew: its rings must be stopped.
    ///
    /// - Parameters:
    ///   - regions: at most ``VhostUserOffer/tableLimit``, each with the descriptor of the file
    ///     behind it.
    ///   - deadline: until when the back end may take.
    public func setTable(
        _ regions: [(region: VhostUserRegion, descriptor: Int32)], by deadline: Deadline
    ) throws(VhostUserError) {
        guard regions.count <= VhostUserOffer.tableLimit else {
            throw .tooManyRegions(regions.count, limit: VhostUserOffer.tableLimit)
        }
        let payload = WireWriter { writer in
            writer.append(UInt32(regions.count), 0)
            for entry in regions { entry.region.write(to: &writer) }
        }.bytes
        try command(.setMemoryTable, payload, descriptors: regions.map(\.descriptor), by: deadline)
    }

    /// Adds a region. Its guest addresses must be free in the back end.
    public func add(
        _ region: VhostUserRegion, descriptor: Int32, by deadline: Deadline
    ) throws(VhostUserError) {
        try require(.memorySlots, "CONFIGURE_MEM_SLOTS")
        try command(.addRegion, region.payload, descriptors: [descriptor], by: deadline)
    }

    /// Removes a region that was added, or was in the table, exactly as it was.
    public func remove(_ region: VhostUserRegion, by deadline: Deadline) throws(VhostUserError) {
        try require(.memorySlots, "CONFIGURE_MEM_SLOTS")
        try command(.removeRegion, region.payload, by: deadline)
    }
}

extension VhostUserRegion {
    fileprivate func write(to writer: inout WireWriter) {
        writer.append(
            guestAddress.rawValue, size.rawValue, userAddress.rawValue, fileOffset.rawValue)
    }

    /// The payload of ADD_MEM_REG and REM_MEM_REG, which begins with padding.
    fileprivate var payload: [UInt8] {
        WireWriter {
            $0.append(0 as UInt64)
            write(to: &$0)
        }.bytes
    }
}
