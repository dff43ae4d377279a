internal import MemslotProtocol

/// The submits of one client to one VM, written beforehand: only numbers change on the way.
struct LoadArray {
    private let head: [UInt8]
    private let tails: [[UInt8]]
    private var turn = 0

    /// - Parameters:
    ///   - client: arrays of two clients differ, so that each submit changes something.
    init(vm: String, client: Int, slots: Int) {
        let name = "{\"id\":1,\"method\":\"memslots.submit\",\"params\":{\"vm\":\"\(vm)\","
        head = Array(name.utf8)
        tails = (0...1).map { turn in
            var writer = JSONWriter()
            writer.beginArray()
            for slot in 0..<slots {
                // The first slot goes from place to place, above all others.
                let place = slot == 0 ? slots + client * 2 + turn : slot
                writer.beginObject()
                writer.key("slot")
                writer.integer(slot)
                writer.key("guestPhysicalAddress")
                writer.address(UInt64(place) << 13)
                writer.key("size")
                writer.address(0x1000)
                writer.key("userspaceAddress")
                writer.address(0x7000_0000_0000 + UInt64(slot) << 12)
                writer.endObject()
            }
            writer.endArray()
            return Array("\"slots\":".utf8) + writer.bytes + Array("}}\n".utf8)
        }
    }

    /// The next request, which differs from the one before.
    mutating func next(expecting generation: UInt64?) -> [UInt8] {
        defer { turn ^= 1 }
        guard let generation else { return head + tails[turn] }
        return head + Array("\"expectedGeneration\":\(generation),".utf8) + tails[turn]
    }
}
