import CRunRecord

/// The memory of a run that has begun these records, as the preloaded library writes them: those of
/// the first half stay, later ones overwrite the other half.
///
/// - Parameters:
///   - begun: how many were begun; all by default.
///   - room: how many there is room for; all by default.
func runMemory(
    _ records: [crun_record], begun: UInt64? = nil, room: Int? = nil,
    header change: (inout crun_header) -> Void = { _ in }
) -> [UInt8] {
    let room = room ?? max(4, (records.count + 1) & ~1)
    var places = [crun_record](repeating: crun_record(), count: room)
    for (index, record) in records.enumerated() {
        let index = UInt64(index)
        var record = record
        record.kind |= crun_lap(UInt64(room), index) << 8
        places[Int(crun_place(UInt64(room), index))] = record
    }
    var header = crun_header()
    (header.magic, header.attached, header.room) = (crun_magic(), 1, UInt32(room))
    header.next = begun ?? UInt64(records.count)
    change(&header)
    return withUnsafeBytes(of: header) { Array($0) }
        + places.flatMap { record in withUnsafeBytes(of: record) { Array($0) } }
}
