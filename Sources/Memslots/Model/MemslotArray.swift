/// A whole, valid memslot array: what a VM has, or what it had.
///
/// Immutable and sorted. Every slot has its id, no two of one address space overlap, and all keep
/// the limits of the backend that it was validated for.
public struct MemslotArray: Sendable, Equatable {
    /// The slots, ascending by address space and id.
    public let slots: [Memslot]
    /// Positions in ``slots``, ascending by address space and guest physical address.
    let addressOrder: AddressOrder

    /// The array without slots, with which every table begins.
    public static let empty = MemslotArray(sortedByKey: [])

    /// Wraps slots that are already known to be valid.
    ///
    /// - Precondition: ascending by key, no id twice, no overlap.
    init(sortedByKey slots: [Memslot]) {
        self.slots = slots
        self.addressOrder = AddressOrder(slots)
    }

    /// How many slots there are.
    public var count: Int { slots.count }

    /// Whether there is no slot.
    public var isEmpty: Bool { slots.isEmpty }

    /// The slot named `key`, if there is one. Cost: a binary search.
    public subscript(key: SlotKey) -> Memslot? {
        let index = slots.partitioningIndex { $0.key >= key }
        guard index < slots.count, slots[index].key == key else { return nil }
        return slots[index]
    }

    /// The slot that holds `address`, if there is one. Cost: a binary search.
    ///
    /// - Parameters:
    ///   - address: any guest physical address.
    ///   - addressSpace: the address space to look in.
    public func slot(
        at address: GuestPhysicalAddress, in addressSpace: AddressSpaceID = .main
    ) -> Memslot? {
        guard let index = addressOrder.lastStart(atOrBelow: address, in: addressSpace) else {
            return nil
        }
        let slot = slots[index]
        return address < slot.guestPhysicalEnd ? slot : nil
    }

    /// The slots in the order in which the guest sees them: by address space and address.
    public var slotsByAddress: [Memslot] { addressOrder.positions.map { slots[Int($0)] } }

    /// Whether both arrays hold the same slots.
    public static func == (left: MemslotArray, right: MemslotArray) -> Bool {
        left.slots == right.slots
    }
}
