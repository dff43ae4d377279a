public import Memslots

/// A VM of another process, whose slots this one only tells of.
///
/// Peers see it as any VM of KVM's: its array, its history, its events. Nothing is carried out
/// here: each ``note(_:done:)`` says what the other process has done already. Call from one thread
/// at a time.
public final class ObservedVM: Sendable {
    /// What a transaction of the other process was.
    public struct Transaction: Sendable {
        /// The slot calls as they were made, in order.
        public var operations: [SlotCall]
        /// Whether vCPUs were held out of the guest.
        public var quiesced: Bool
        /// Where the time went, as far as it is known.
        public var durations: Receipt.Durations

        /// Describes one.
        public init(
            operations: [SlotCall], quiesced: Bool, durations: Receipt.Durations
        ) {
            self.operations = operations
            self.quiesced = quiesced
            self.durations = durations
        }
    }

    /// The VM's name.
    public let name: String
    let table: MemslotTable
    private let done = Locked<[Generation: Transaction]>([:])

    /// As many are known as the table keeps receipts.
    private static let limit: UInt64 = 1_024

    init(_ name: String) throws(InvalidArray) {
        self.name = name
        table = try MemslotTable(backend: NothingToCarryOut(), vcpus: NobodyToHold())
    }

    /// Tells that the VM has `slots` now.
    ///
    /// - Parameters:
    ///   - slots: the complete array.
    ///   - transaction: how it came to be.
    /// - Returns: the VM's generation.
    /// - Throws: where `slots` can't be what a VM has.
    @discardableResult
    public func note(
        _ slots: [Memslot], done transaction: Transaction
    ) throws(SubmitError) -> Generation {
        let next = table.snapshot().generation.next
        done.withLock { done in
            done[next] = transaction
            if next.rawValue > Self.limit { done[Generation(next.rawValue - Self.limit)] = nil }
        }
        let files = slots.map { slot in
            // Which file it is, is the other process's own business.
            guard slot.flags.contains(.guestMemfd) else { return slot }
            return Memslot(
                id: slot.id, addressSpace: slot.addressSpace,
                guestPhysicalAddress: slot.guestPhysicalAddress, size: slot.size,
                userspaceAddress: slot.userspaceAddress, flags: slot.flags, guestMemfd: .own)
        }
        return try table.submit(files).generation
    }

    /// The receipt of what was done, in place of the one of what would have been.
    func truth(of receipt: Receipt) -> Receipt {
        guard receipt.outcome == .committed,
            let transaction = done.withLock({ $0[receipt.generation] })
        else { return receipt }
        var receipt = receipt
        receipt.isOptimal =
            receipt.isOptimal && transaction.operations.count <= receipt.operations.count
        receipt.operations = transaction.operations.map { PlannedOperation($0) }
        receipt.quiesced = transaction.quiesced
        receipt.durations = transaction.durations
        return receipt
    }

    /// What the table says, of what was done.
    func truth(of event: TableEvent) -> TableEvent {
        guard case .committed(let receipt, let previous, let array) = event else { return event }
        return .committed(truth(of: receipt), previous: previous, array: array)
    }
}

/// The other process has done it.
private final class NothingToCarryOut: MemslotBackend {
    let capabilities = Capabilities(
        maxSlots: 32_767, addressSpaces: 65_536, maxGuestPage: .max,
        userspaceEnd: UserspaceAddress(1 << 57),
        flags: [.logDirtyPages, .readOnly, .guestMemfd], providesGuestMemfd: true)

    func beginTransaction() {}
    func apply(_ call: SlotCall) {}
    func collectDirtyPages() {}

    func readDirtyLog(of slot: Memslot, clear: Bool) -> DirtyBitmap {
        DirtyBitmap(pageCount: slot.pageCount)
    }
}

/// The vCPUs are the other process's.
private final class NobodyToHold: VCPUHold {
    func begin() {}
    func waitUntilHeld(by deadline: Deadline) -> [String] { [] }
    func exclusively(_ body: () -> Void) { body() }
    func end() {}
}
