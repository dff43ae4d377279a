import CMemslots
import LibMemslots
import Testing

/// A table on the simulator, used through the C functions; closed when it goes.
final class SimulatedTable: Sendable {
    let handle: memslots_table

    init() throws {
        var handle = memslots_table()
        try #require(memslots_open_simulator(nil, &handle) == MEMSLOTS_OK)
        self.handle = handle
    }

    deinit { _ = memslots_close(handle) }

    /// Submits without a receipt; the code.
    func submit(_ slots: memslots_slot...) -> Int {
        Int(memslots_submit(handle, slots, slots.count, nil, nil))
    }

    /// The ids that the table has now, and its generation.
    func now() throws -> (ids: [UInt32], generation: UInt64) {
        var list = [memslots_slot](repeating: memslots_slot(), count: 64)
        var (count, generation) = (0, UInt64(0))
        try #require(memslots_get(handle, &list, list.count, &count, &generation) == MEMSLOTS_OK)
        return (list.prefix(count).map(\.slot), generation)
    }
}

/// A slot of `pages` pages at page `first`.
func slot(_ id: UInt32, at first: UInt64, pages: UInt64 = 1, flags: Int = 0) -> memslots_slot {
    var slot = memslots_slot()
    slot.slot = id
    slot.guest_physical_address = first * 4_096
    slot.size = pages * 4_096
    slot.userspace_address = 0x7000_0000_0000 + first * 4_096
    slot.flags = UInt32(flags)
    return slot
}

/// A structure with its size set.
func sized<T>(_ make: () -> T, _ size: WritableKeyPath<T, Int>) -> T {
    var structure = make()
    structure[keyPath: size] = MemoryLayout<T>.size
    return structure
}

func receipt() -> memslots_receipt { sized(memslots_receipt.init, \.struct_size) }

func lastMessage() -> String { memslots_error_message().map { String(cString: $0) } ?? "" }
