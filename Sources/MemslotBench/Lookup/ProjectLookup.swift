import Memslots

/// A way of the project's to translate addresses.
///
/// As in the yardsticks, an address depends on the one before, by what `zero` keeps of the sum:
/// nothing, but the compiler and the processor can't know.
struct ProjectLookup: Sendable {
    let name: String
    /// At most this many addresses are translated a round; a slow way would take too long.
    var most = Int.max
    /// The sum of what the addresses are translated to.
    let sum:
        @Sendable (_ table: MemslotTable, _ addresses: ArraySlice<UInt64>, _ zero: UInt64) -> UInt64

    /// All there are, the fastest last: that one is held against the targets.
    static let all = [closure, array, eachTime, reader]

    /// ``MemslotTable/read(as:_:)`` for each address: a `sync` block on a Dispatch queue.
    private static let closure = ProjectLookup(
        name: "MemslotTable.read for each address", most: 1_024
    ) { table, addresses, zero in
        var sum: UInt64 = 0
        for address in addresses {
            let wanted = GuestPhysicalAddress(address &+ (sum & zero))
            sum &+= table.read { $0.array.translated(wanted) }
        }
        return sum
    }

    /// One ``MemslotTable/read(as:_:)`` for all.
    private static let array = ProjectLookup(name: "MemslotArray.slot(at:)") {
        table, addresses, zero in
        table.read { snapshot in
            var sum: UInt64 = 0
            for address in addresses {
                let wanted = GuestPhysicalAddress(address &+ (sum & zero))
                sum &+= snapshot.array.translated(wanted)
            }
            return sum
        }
    }
}

extension ProjectLookup {
    /// A reader's view, entered for each address.
    private static let eachTime = ProjectLookup(name: "TableReader.read for each address") {
        table, addresses, zero in
        let reader = table.makeReader(as: "benchmark")
        var sum: UInt64 = 0
        for address in addresses {
            let wanted = GuestPhysicalAddress(address &+ (sum & zero))
            sum &+= reader.read { $0.translate(wanted)?.userspaceAddress.rawValue ?? 0 }
        }
        return sum
    }

    /// A reader's view, entered once for all.
    private static let reader = ProjectLookup(name: "TableReader") { table, addresses, zero in
        let reader = table.makeReader(as: "benchmark")
        return reader.read { view in
            var sum: UInt64 = 0
            for address in addresses {
                let wanted = GuestPhysicalAddress(address &+ (sum & zero))
                sum &+= view.translate(wanted)?.userspaceAddress.rawValue ?? 0
            }
            return sum
        }
    }
}

extension MemslotArray {
    /// The host address; 0 where there is no slot.
    fileprivate func translated(_ address: GuestPhysicalAddress) -> UInt64 {
        guard let slot = slot(at: address) else { return 0 }
        return slot.userspaceAddress.rawValue
            &+ (address.rawValue &- slot.guestPhysicalAddress.rawValue)
    }
}
