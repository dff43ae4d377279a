import Memslots

/// A device that finds its buffers through its own reader. One thread at a time may use it.
final class Device {
    private let reader: TableReader
    private var segments = Array(repeating: HostSegment.none, count: 64)

    init(of table: MemslotTable) { reader = table.makeReader(as: "device") }

    /// The sum of all bytes of a chain of guest buffers.
    func checksum(of chain: [GuestRange]) throws(TranslationError) -> UInt64 {
        // The memory stays mapped until the closure returns; a buffer may lie in several slots.
        try reader.read { view throws(TranslationError) in
            let count = try view.translate(chain, for: .read, into: &segments)
            return segments.prefix(count).reduce(0) { sum, segment in
                segment.memory?.reduce(sum) { $0 &+ UInt64($1) } ?? sum
            }
        }
    }
}
