public import Memslots

/// A VM of another process, whose changes this process reports to peers.
///
/// Peers see it like a KVM VM, with its array, history and events. Nothing is applied here: each
/// ``record(_:of:)`` records what the other process has already done. Call from one thread at a
/// time.
public final class ObservedVM: Sendable {
    /// A transaction of the other process.
    public struct Transaction: Sendable {
        /// The slot calls of the other process, in order.
        public var operations: [SlotCall]
        /// Whether vCPUs were held.
        public var quiesced: Bool
        /// The times, as far as they are known.
        public var durations: Receipt.Durations

        /// Describes a transaction.
        public init(operations: [SlotCall], quiesced: Bool, durations: Receipt.Durations) {
            (self.operations, self.quiesced, self.durations) = (operations, quiesced, durations)
        }
    }

    /// The VM's name.
    public let name: String
    let table: MemslotTable
    private let transactions = Locked<[Generation: Transaction]>([:])

    /// The number of transactions that are kept, as many as the table keeps receipts.
    private static let limit: UInt64 = 1_024

    init(_ name: String) throws(InvalidArray) {
        self.name = name
        table = try MemslotTable(backend: NoBackend(), vcpus: NoHold())
    }

    /// Records the VM's new array.
    ///
    /// - Parameters:
    ///   - slots: the complete array.
    ///   - transaction: the transaction that committed it.
    /// - Returns: the VM's new generation.
    /// - Throws: if no VM can have these slots.
    @discardableResult
    public func record(
        _ slots: [Memslot], of transaction: Transaction
    ) throws(SubmitError) -> Generation {
        let next = table.snapshot().generation.next
        transactions.withLock { all in
            all[next] = transaction
            if next.rawValue > Self.limit { all[Generation(next.rawValue - Self.limit)] = nil }
        }
        let files = slots.map { slot in
            // This process does not know the other one's guest_memfd files.
            guard slot.flags.contains(.guestMemfd) else { return slot }
            return Memslot(
                id: slot.id, addressSpace: slot.addressSpace,
                guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
                userspaceAddress: slot.userspaceAddress, flags: slot.flags, guestMemfd: .own)
        }
        return try table.submit(files).generation
    }

    /// Returns the receipt of the other process's transaction, in place of the planned one.
    func asObserved(_ receipt: Receipt) -> Receipt {
        guard receipt.outcome == .committed,
            let transaction = transactions.withLock({ $0[receipt.generation] })
        else { return receipt }
        var receipt = receipt
        receipt.isOptimal =
            receipt.isOptimal && transaction.operations.count <= receipt.operations.count
        receipt.operations = transaction.operations.map { PlannedOperation($0) }
        receipt.quiesced = transaction.quiesced
        // The other process may hold for what its next call could do.
        receipt.holdReason = transaction.quiesced ? receipt.holdReason ?? .asked : nil
        receipt.durations = transaction.durations
        return receipt
    }

    /// Returns the event of the other process's transaction, in place of the planned one.
    func asObserved(_ event: TableEvent) -> TableEvent {
        guard case .committed(let receipt, let previous, let array) = event else { return event }
        return .committed(asObserved(receipt), previous: previous, array: array)
    }
}

/// Applies nothing: the other process has already done it.
private final class NoBackend: MemslotBackend {
    let capabilities = Capabilities(
        maxSlots: 32_767, addressSpaces: 65_536, maxGuestPage: .max,
        userspaceEnd: UserspaceAddress(1 << 57), flags: [.logDirtyPages, .readOnly, .guestMemfd],
        providesGuestMemfd: true, deletesAtOneInstant: true)

    func beginTransaction() {}
    func apply(_ call: SlotCall) {}
    func collectDirtyPages() {}

    func readDirtyLog(of slot: Memslot, clear: Bool) -> DirtyBitmap {
        DirtyBitmap(pageCount: capabilities.pageCount(of: slot))
    }
}
