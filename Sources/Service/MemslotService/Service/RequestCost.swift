internal import MemslotProtocol
internal import Memslots

/// How much memory requests take, at most. It is charged before it is allocated: Swift ends the
/// process where an allocation fails.
enum RequestCost {
    /// What each thread may take without a charge: most requests are small.
    static let freeBytes = 64 << 10
    /// Bytes of a decoded request for each byte of its line.
    private static let decodedBytes = 12
    /// Bytes of the parsed text for each byte of a line, beside those of the request.
    private static let parsedBytes = 4
    /// Bytes of a request in a batch that is no request, with its error.
    private static let invalidBytes = 512

    /// Charges what a line takes once it is decoded, and while it is. Throws `limit-exceeded`.
    static func charge(
        _ line: ArraySlice<UInt8>, batchLimit: Int, to user: UInt32, of budget: Budget
    ) throws(ProtocolError) -> (decoded: BudgetCharge?, parsed: BudgetCharge?) {
        let isBatch = line.first { $0 > 0x20 } == UInt8(ascii: "[")
        let batch = isBatch ? min(line.count / 2, batchLimit) * invalidBytes : 0
        let decoded = line.count * decodedBytes + batch
        guard decoded + line.count * parsedBytes > freeBytes / 2 else { return (nil, nil) }
        return (
            try budget.charged(decoded, to: user),
            try budget.charged(line.count * parsedBytes, to: user)
        )
    }

    /// Bytes of a slot while a transaction, or a reply, is made of it.
    static let slotBytes = 1 << 10
    /// Bytes of a VM in a list, with its metrics and their text.
    static let listedBytes = 16 << 10
    /// Bytes of an address that is translated.
    static let addressBytes = 128

    /// The bytes of the dirty bits of `pages` pages: a bit for each, and the chunks of a bitmap.
    static func bitmapBytes(_ pages: UInt64) -> Int {
        Int(clamping: pages / 8 + (pages >> 15 + 1) * 128)
    }
}

extension MemslotService {
    /// Charges what a command allocates until its reply is encoded; `nil` if it is little. Throws
    /// `limit-exceeded`.
    func charge(for command: Command, _ peer: Peer) throws(ProtocolError) -> BudgetCharge? {
        let bytes = bytes(for: command, peer)
        guard bytes > RequestCost.freeBytes / 2 else { return nil }
        return try budgets.requestBytes.charged(bytes, to: peer.user)
    }

    private func bytes(for command: Command, _ peer: Peer) -> Int {
        func named(_ name: String) -> VirtualMachine? {
            registry.withLock { $0.vm(name, of: peer) }
        }
        switch command {
        case .submit(let parameters), .plan(let parameters):
            guard let vm = named(parameters.vm) else { return 0 }
            let table = vm.feed.published.table
            let (present, ranges) = (table.slots.count, table.privateRanges.count)
            let submitted = parameters.slots.count + (parameters.attributes?.count ?? 0)
            return (present + ranges + submitted) * RequestCost.slotBytes
        case .getSlots(let name, let generation):
            let table = named(name)?.feed.published.table
            let slots = (table?.slots.count ?? 0) + (table?.privateRanges.count ?? 0)
            // A former array is made from the present one and the receipts.
            return slots * RequestCost.slotBytes * (generation == nil ? 1 : 3)
        case .attachObserver(let parameters):
            return (named(parameters.vm)?.feed.published.table.slots.count ?? 0)
                * RequestCost.slotBytes
        case .subscribe: return budgets.slots.held(by: peer.user) * RequestCost.slotBytes / 4
        case .translate(let parameters):
            guard let vm = named(parameters.vm) else { return 0 }
            // A range has a piece for each slot, and one between two.
            let pieces = parameters.addresses.reduce(0) { sum, element in
                guard case .range = element else { return sum + 1 }
                return sum + 2 * vm.feed.published.table.slots.count + 1
            }
            return min(pieces, limits.replyBytes / 32) * RequestCost.addressBytes
        case .getDirtyLog(let parameters):
            guard let vm = named(parameters.vm) else { return 0 }
            let slots = vm.feed.published.table.slots.lazy.filter { slot in
                parameters.slot == nil || parameters.slot == UInt64(slot.assignedKey.id.rawValue)
            }
            let page = vm.table.capabilities.pageSize
            let most = slots.filter(\.isLogging).map { $0.size.pages(of: page) }.max() ?? 0
            // The kernel's log is read as a whole; then the bits as words, bytes and text. Those of a
            // memory object are collected in two bitmaps more.
            let kernel = vm.simulator == nil ? 3 * RequestCost.bitmapBytes(most) : 0
            let pages = min(parameters.pageCount ?? .max, limits.dirtyLogPages)
            return kernel
                + (parameters.memory == nil
                    ? 3 * RequestCost.bitmapBytes(min(pages, most))
                    : 5 * RequestCost.bitmapBytes(pages))
        case .listVMs, .getMetrics: return budgets.vms.held(by: peer.user) * RequestCost.listedBytes
        case .listMemory: return budgets.memories.held(by: peer.user) * RequestCost.slotBytes
        case .getHistory(let parameters):
            return min(Int(clamping: parameters.last ?? .max), limits.receipts)
                * RequestCost.slotBytes
        default: return 0
        }
    }
}
