internal import MemslotProtocol
public import Memslots

/// Memory that the embedding process has mapped, and that slots may name.
public struct NamedMapping: Hashable, Sendable {
    /// The mapping's address in this process, a multiple of 4096.
    public var address: UserspaceAddress
    /// The size in bytes, a multiple of ``pageSize`` and not 0.
    public var size: ByteCount
    /// The size of the mapping's host pages in bytes: 4096, or that of huge pages. Offsets are
    /// multiples of it.
    public var pageSize: ByteCount
    /// The memory reference that the embedder's own slots have for this memory; `nil` if they have
    /// only addresses.
    public var memory: MemoryReference?

    /// Describes a mapping, which must exist as long as the VM is registered.
    public init(
        address: UserspaceAddress, size: ByteCount, pageSize: ByteCount = Memslots.pageSize,
        memory: MemoryReference? = nil
    ) {
        (self.address, self.size, self.pageSize, self.memory) = (address, size, pageSize, memory)
    }

    func listed(as name: String) -> ListedMemory {
        ListedMemory(memory: name, size: size, pageSize: pageSize)
    }

    /// Why the mapping can't be registered; `nil` if it can.
    var fault: String? {
        if size == .zero || address.advanced(by: size) == nil {
            return "the mapping is empty, or wraps 2^64"
        }
        if pageSize.rawValue < 4_096 || pageSize.rawValue.nonzeroBitCount != 1 {
            return "\(pageSize) is not a page size"
        }
        if !address.isPageAligned || size.rawValue % pageSize.rawValue != 0 {
            return "address and size must be whole pages"
        }
        return nil
    }
}

/// The mappings of one embedded VM, by name and by address.
struct NamedMappings: Sendable {
    private let byName: [Name: NamedMapping]
    /// Ascending, without overlaps.
    let byAddress: [(name: String, mapping: NamedMapping)]

    init() { (byName, byAddress) = ([:], []) }

    /// Validates `mappings`. Throws `invalid-params` for the first mapping that can't be used.
    init(_ mappings: [String: NamedMapping]) throws(ProtocolError) {
        func unusable(_ name: String, _ reason: String) -> ProtocolError {
            ProtocolError(
                ErrorData(.invalidParams, path: "memories"),
                message: "memory \"\(name)\": \(reason)")
        }
        for (name, mapping) in mappings {
            if let fault = mapping.fault { throw unusable(name, fault) }
        }
        let entries = mappings.map { (name: $0.key, mapping: $0.value) }
            .sorted { $0.mapping.address < $1.mapping.address }
        for (one, next) in zip(entries, entries.dropFirst())
        where next.mapping.address.rawValue - one.mapping.address.rawValue
            < one.mapping.size.rawValue
        {
            throw unusable(next.name, "it overlaps \"\(one.name)\"")
        }
        byName = Dictionary(uniqueKeysWithValues: mappings.map { (Name($0.key), $0.value) })
        byAddress = entries
    }

    subscript(name: String) -> NamedMapping? { byName[Name(name)] }

    /// Returns the mapping that contains the whole slot, and the slot's offset in it.
    func covering(_ slot: Memslot) -> (name: String, offset: ByteCount)? {
        let address = slot.userspaceAddress
        let index = byAddress.partitioningIndex { $0.mapping.address > address }
        guard index > 0 else { return nil }
        let entry = byAddress[index - 1]
        let offset = address.rawValue - entry.mapping.address.rawValue
        let end = offset.addingReportingOverflow(slot.size.rawValue)
        guard !end.overflow, end.partialValue <= entry.mapping.size.rawValue,
            offset % entry.mapping.pageSize.rawValue == 0
        else { return nil }
        return (entry.name, ByteCount(offset))
    }
}
