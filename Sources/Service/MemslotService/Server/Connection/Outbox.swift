/// What a connection has to send, in order.
///
/// Lines without descriptors are joined, so that many answers go out in one write. A line with
/// descriptors is a write of its own: they belong to the line that holds the last byte they came
/// with. A plain value that knows no socket.
struct Outbox {
    /// What goes out in one write.
    struct Parcel {
        var bytes: [UInt8]
        /// Closed by who sends it.
        var descriptors: [Int32]
        /// Nothing is to be added: it would be moved for that.
        var isWhole = false
    }

    private var parcels: [Parcel] = []
    private var spare: [UInt8] = []
    /// Bytes that were put in and not yet ``noteSent(_:)``.
    private(set) var byteCount = 0

    /// Whether there is nothing to take.
    var isEmpty: Bool { parcels.isEmpty }

    /// Puts a line in, and ends it.
    mutating func put(_ line: UnsafeRawBufferPointer, descriptors: [Int32] = []) {
        byteCount += line.count + 1
        if !descriptors.isEmpty || parcels.isEmpty
            || parcels[parcels.count - 1].isWhole
            || !parcels[parcels.count - 1].descriptors.isEmpty
        {
            parcels.append(Parcel(bytes: takeSpare(), descriptors: descriptors))
        }
        let last = parcels.count - 1
        parcels[last].bytes.append(contentsOf: line)
        parcels[last].bytes.append(UInt8(ascii: "\n"))
    }

    /// Puts a large line in that ends already: as it is, because copying megabytes takes longer
    /// than a write of its own.
    mutating func put(whole line: [UInt8], descriptors: [Int32] = []) {
        byteCount += line.count
        parcels.append(Parcel(bytes: line, descriptors: descriptors, isWhole: true))
    }

    /// Takes the next parcel out.
    mutating func take() -> Parcel? { parcels.isEmpty ? nil : parcels.removeFirst() }

    /// Notes that a parcel is on its way, and keeps its room for the next.
    mutating func noteSent(_ parcel: consuming Parcel) {
        byteCount -= parcel.bytes.count
        guard parcel.bytes.capacity <= 1 << 18 else { return }
        spare = parcel.bytes
        spare.removeAll(keepingCapacity: true)
    }

    /// Takes everything out.
    mutating func takeAll() -> [Parcel] {
        defer {
            parcels = []
            byteCount = 0
        }
        return parcels
    }

    private mutating func takeSpare() -> [UInt8] {
        defer { spare = [] }
        return spare
    }
}
