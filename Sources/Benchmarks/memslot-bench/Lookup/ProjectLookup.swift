import MemslotTestKit
import Memslots

/// One of the project's ways to translate addresses.
struct ProjectLookup: Sendable {
    let name: String
    /// The most addresses of a round; limits slow ways.
    var most = Int.max
    /// Returns the sum of the translated addresses.
    let sum:
        @Sendable (
            _ table: MemslotTable, _ addresses: UnsafeBufferPointer<UInt64>,
            _ order: AddressOrdering
        ) -> UInt64

    static let all = [closure, array, eachTime, fastest]

    /// ``MemslotTable/read(as:_:)`` for each address: a `sync` block on a Dispatch queue.
    private static let closure = ProjectLookup(
        name: "MemslotTable.read for each address", most: 1_024
    ) { table, addresses, order in
        summed(addresses, order) { wanted in table.read { $0.array.translated(wanted) } }
    }

    /// One ``MemslotTable/read(as:_:)`` for all.
    private static let array = ProjectLookup(name: "MemslotArray.slot(at:)") {
        table, addresses, order in
        table.read { snapshot in summed(addresses, order) { snapshot.array.translated($0) } }
    }

    /// A reader's view, entered for each address.
    private static let eachTime = ProjectLookup(name: "TableReader.read for each address") {
        table, addresses, order in
        let reader = table.makeReader(as: "benchmark")
        return summed(addresses, order) { wanted in
            reader.read { $0.translate(wanted)?.userspaceAddress.rawValue ?? 0 }
        }
    }

    /// A reader's view, entered once for all. It is compared with the targets.
    static let fastest = ProjectLookup(name: "TableReader") { table, addresses, order in
        let reader = table.makeReader(as: "benchmark")
        return reader.read { view in
            // Not by `summed`, because a closure can't capture a borrowed view.
            var sum: UInt64 = 0
            switch order {
            case .known:
                for address in addresses {
                    sum &+=
                        view.translate(GuestPhysicalAddress(address))?
                        .userspaceAddress.rawValue ?? 0
                }
            case .chained:
                let nothing = Nothing.mask
                for address in addresses {
                    let wanted = GuestPhysicalAddress(address &+ (sum & nothing))
                    sum &+= view.translate(wanted)?.userspaceAddress.rawValue ?? 0
                }
            }
            return sum
        }
    }

    @inline(__always)
    private static func summed(
        _ addresses: UnsafeBufferPointer<UInt64>, _ order: AddressOrdering,
        _ translate: (GuestPhysicalAddress) -> UInt64
    ) -> UInt64 {
        var sum: UInt64 = 0
        switch order {
        case .known: for address in addresses { sum &+= translate(GuestPhysicalAddress(address)) }
        case .chained:
            let nothing = Nothing.mask
            for address in addresses {
                sum &+= translate(GuestPhysicalAddress(address &+ (sum & nothing)))
            }
        }
        return sum
    }
}

/// A mask of 0 that the compiler does not know.
enum Nothing {
    static let mask: UInt64 = CommandLine.argc < 0 ? .max : 0
}

extension MemslotArray {
    /// The user address; 0 without a slot.
    fileprivate func translated(_ address: GuestPhysicalAddress) -> UInt64 {
        guard let slot = slot(at: address) else { return 0 }
        return slot.userspaceAddress.rawValue
            &+ (address.rawValue &- slot.guestPhysicalAddress.rawValue)
    }
}

/// The order in which addresses are translated.
enum AddressPattern: String, CaseIterable {
    /// Any slot, any offset.
    case random = "random"
    /// 64 offsets of one slot, then 64 of another.
    case inRow = "64 in a row"
    /// Always the same slot.
    case repeated = "repeated"

    func addresses(_ count: Int, in slots: [Memslot]) -> [UInt64] {
        var random = SeededRandom(seed: 7)
        var slot = slots[slots.count / 2]
        return (0..<count).map { index in
            let isNext = self == .random || (self == .inRow && index % 64 == 0)
            if isNext { slot = slots[Int.random(in: slots.indices, using: &random)] }
            return slot.guestPhysicalAddress.rawValue + random.next() % slot.size.rawValue
        }
    }
}

/// Whether an address is known before the translation ahead of it ends.
enum AddressOrdering: String, CaseIterable {
    /// All are known beforehand, as in a descriptor chain: several translations run at a time.
    case known = "known"
    /// Each depends on the translation before it, by a mask of 0: the latency of one translation.
    case chained = "chained"
}
