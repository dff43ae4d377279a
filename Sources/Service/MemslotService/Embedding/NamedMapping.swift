public import Memslots

/// Memory that an embedding process has mapped itself, for slots to name.
public struct NamedMapping: Hashable, Sendable {
    /// Where it is mapped in this process; a multiple of 4096.
    public var address: UserspaceAddress
    /// Bytes; a multiple of ``pageSize``, not 0.
    public var size: ByteCount
    /// Bytes of a page behind it: 4096, or those of huge pages. Offsets are multiples of it.
    public var pageSize: ByteCount
    /// Which host pages these are, where the embedder's own slots say so; `nil` if they go by
    /// their addresses.
    public var memory: MemoryReference?

    /// Describes a mapping that stays as long as the VM is registered.
    public init(
        address: UserspaceAddress, size: ByteCount, pageSize: ByteCount = Memslots.pageSize,
        memory: MemoryReference? = nil
    ) {
        self.address = address
        self.size = size
        self.pageSize = pageSize
        self.memory = memory
    }

    /// Why it can't be registered; `nil` if it can.
    var fault: String? {
        if size == .zero || address.advanced(by: size) == nil {
            return "the mapping is empty, or wraps 2^64"
        }
        if pageSize.rawValue < 4_096 || pageSize.rawValue.nonzeroBitCount != 1 {
            return "the page size \(pageSize) is none"
        }
        if !address.isPageAligned || size.rawValue % pageSize.rawValue != 0 {
            return "address and size must be whole pages"
        }
        return nil
    }
}

/// The mappings of one embedded VM, by name and by address.
struct NamedMappings: Sendable {
    struct Entry: Sendable {
        let name: String
        let mapping: NamedMapping
    }

    private let byName: [String: NamedMapping]
    /// Ascending; they don't overlap.
    private let byAddress: [Entry]

    init() { (byName, byAddress) = ([:], []) }

    /// Takes `mappings`.
    ///
    /// - Throws: which one can't be taken, and why.
    init(_ mappings: [String: NamedMapping]) throws(UnusableMapping) {
        for (name, mapping) in mappings {
            if let fault = mapping.fault { throw UnusableMapping(name: name, reason: fault) }
        }
        let entries = mappings.map { Entry(name: $0.key, mapping: $0.value) }
            .sorted { $0.mapping.address < $1.mapping.address }
        for (one, next) in zip(entries, entries.dropFirst())
        where next.mapping.address.rawValue - one.mapping.address.rawValue
            < one.mapping.size.rawValue
        {
            throw UnusableMapping(name: next.name, reason: "it overlaps \"\(one.name)\"")
        }
        byName = mappings
        byAddress = entries
    }

    struct UnusableMapping: Error {
        let name: String
        let reason: String
    }

    subscript(name: String) -> NamedMapping? { byName[name] }

    /// All, by name.
    var all: [Entry] { byAddress.sorted { $0.name < $1.name } }

    /// The mapping that all of `slot` lies in, and where in it the slot begins.
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

extension Array {
    /// The first index whose element, and all after it, belong behind the border.
    fileprivate func partitioningIndex(where isBehind: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = low + (high - low) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
