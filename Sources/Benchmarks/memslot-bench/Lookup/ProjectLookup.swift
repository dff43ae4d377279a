import MemslotTestKit
import Memslots

/// A way of the project's to translate addresses.
struct ProjectLookup: Sendable {
    let name: String
    /// At most this many addresses are translated a round; a slow way would take too long.
    var most = Int.max
    /// The sum of what the addresses are translated to.
    let sum:
        @Sendable (
            _ table: MemslotTable, _ addresses: UnsafeBufferPointer<UInt64>,
            _ order: AddressOrdering
        ) -> UInt64

    /// All there are, the fastest last: that one is held against the targets.
    static let all = [closure, array, eachTime, reader]

    /// ``MemslotTable/read(as:_:)`` for each address: a `sync` block on a Dispatch queue.
    private static let closure = ProjectLookup(
        name: "MemslotTable.read for each address", most: 1_024
    ) { table, addresses, order in
        summed(addresses, order) { wanted in table.read { $0.array.translated(wanted) } }
    }

    /// One ``MemslotTable/read(as:_:)`` for all.
    private static let array = ProjectLookup(name: "MemslotArray.slot(at:)") {
        table, addresses, order in
        table.read { snapshot in
            summed(addresses, order) { snapshot.array.translated($0) }
        }
    }

    /// A reader's view, entered for each address.
    private static let eachTime = ProjectLookup(name: "TableReader.read for each address") {
        table, addresses, order in
        let reader = table.makeReader(as: "benchmark")
        return summed(addresses, order) { wanted in
            reader.read { $0.translate(wanted)?.userspaceAddress.rawValue ?? 0 }
        }
    }

    /// A reader's view, entered once for all.
    private static let reader = ProjectLookup(name: "TableReader") { table, addresses, order in
        let reader = table.makeReader(as: "benchmark")
        return reader.read { view in
            // Written out, since a closure can't capture what is lent.
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
        case .known:
            for address in addresses { sum &+= translate(GuestPhysicalAddress(address)) }
        case .chained:
            let nothing = Nothing.mask
            for address in addresses {
                sum &+= translate(GuestPhysicalAddress(address &+ (sum & nothing)))
            }
        }
        return sum
    }
}

/// A mask that keeps nothing, which the compiler can't know.
private enum Nothing {
    @inline(never)
    static func make() -> UInt64 { CommandLine.argc < 0 ? .max : 0 }
    static let mask = make()
}

extension MemslotArray {
    /// The host address; 0 where there is no slot.
    fileprivate func translated(_ address: GuestPhysicalAddress) -> UInt64 {
        guard let slot = slot(at: address) else { return 0 }
        return slot.userspaceAddress.rawValue
            &+ (address.rawValue &- slot.guestPhysicalAddress.rawValue)
    }
}

/// In which order addresses are asked for.
enum AddressPattern: String, CaseIterable {
    /// Any slot, any offset.
    case random = "random"
    /// 64 offsets of one slot, then of another.
    case inRow = "64 in a row"
    /// One slot all the time.
    case repeated = "repeated"

    /// `count` addresses that `slots` have.
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

/// When an address is known.
enum AddressOrdering: String, CaseIterable {
    /// All are known beforehand, as those of a descriptor chain that was read: a processor works on
    /// several translations at a time. So are the figures of others measured.
    case known = "known"
    /// Each depends on the translation before it, by a mask that keeps nothing: what one takes from
    /// its beginning to its end.
    case chained = "chained"
}
