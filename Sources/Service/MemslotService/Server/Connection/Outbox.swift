internal import MemslotProtocol

/// What a connection has to send, in order.
///
/// Lines without descriptors are joined, so that many responses are sent in one write. A line with
/// descriptors is a write of its own: they belong to the line that holds the last byte they came
/// with. A plain value that knows no socket.
struct Outbox {
    /// What is sent in one write.
    struct Parcel {
        var bytes: [UInt8]
        /// Closed with the parcel.
        var descriptors = PassedDescriptors.none
        /// Nothing may be appended.
        var isComplete = false
    }

    private var parcels: [Parcel] = []
    private var spare: [UInt8] = []
    /// The bytes that are not yet ``recordSent(_:)``.
    private(set) var byteCount = 0

    /// Whether there is nothing to remove.
    var isEmpty: Bool { parcels.isEmpty }

    /// Appends a line, and its end.
    mutating func put(_ line: UnsafeRawBufferPointer) {
        byteCount += line.count + 1
        if parcels.last?.isComplete ?? true { parcels.append(Parcel(bytes: removeSpare())) }
        let last = parcels.count - 1
        parcels[last].bytes.append(contentsOf: line)
        parcels[last].bytes.append(UInt8(ascii: "\n"))
    }

    /// Appends a line, with its end, that is sent by itself: it has descriptors, or copying it
    /// takes longer than a write of its own.
    mutating func put(complete line: [UInt8], descriptors: PassedDescriptors = .none) {
        byteCount += line.count
        parcels.append(Parcel(bytes: line, descriptors: descriptors, isComplete: true))
    }

    /// Removes the next parcel.
    mutating func removeFirst() -> Parcel? { parcels.isEmpty ? nil : parcels.removeFirst() }

    /// Records that a parcel was sent, and keeps its room for the next.
    mutating func recordSent(_ parcel: consuming Parcel) {
        byteCount -= parcel.bytes.count
        guard parcel.bytes.capacity <= 1 << 18 else { return }
        spare = parcel.bytes
        spare.removeAll(keepingCapacity: true)
    }

    /// Drops everything.
    mutating func removeAll() {
        parcels = []
        byteCount = 0
    }

    private mutating func removeSpare() -> [UInt8] {
        defer { spare = [] }
        return spare
    }
}
