internal import MemslotProtocol
internal import Memslots

/// What one user holds in the service, and its metrics.
final class UserAccount: Sendable {
    /// What the user holds now.
    struct Holdings: Sendable {
        let memories: Int
        let memoryBytes: UInt64
        let slots: Int
        let subscriptions: Int
    }

    let user: UInt32
    /// The metrics of all VMs of the user, including destroyed ones.
    let metrics = Metrics()
    let budgets: Budgets
    /// Bounds the receipts of all VMs of the user.
    let receipts: ReceiptBudget

    init(user: UInt32, _ budgets: Budgets) {
        self.user = user
        self.budgets = budgets
        receipts = ReceiptBudget(bytes: budgets.receiptBytesPerPeer, partOf: budgets.receipts)
    }

    var holdings: Holdings {
        Holdings(
            memories: budgets.memories.held(by: user),
            memoryBytes: UInt64(budgets.memoryBytes.held(by: user)),
            slots: budgets.slots.held(by: user),
            subscriptions: budgets.subscriptions.held(by: user))
    }

    /// Reserves memory of `bytes`, as long as the reservation lives.
    ///
    /// - Throws: `limit-exceeded`.
    func reserve(bytes: UInt64) throws(ProtocolError) -> MemoryReservation {
        try budgets.memories.charge(1, to: user)
        do throws(ProtocolError) {
            try budgets.memoryBytes.charge(Int(clamping: bytes), to: user)
        } catch {
            budgets.memories.release(1, of: user)
            throw error
        }
        return MemoryReservation(account: self, bytes: Int(clamping: bytes))
    }

    /// Reserves memory of a restored object, even beyond the limits.
    func reserve(held bytes: UInt64) -> MemoryReservation {
        budgets.memories.charge(existing: 1, to: user)
        budgets.memoryBytes.charge(existing: Int(clamping: bytes), to: user)
        return MemoryReservation(account: self, bytes: Int(clamping: bytes))
    }

    /// Changes the number of slots of the user's VMs.
    func addSlots(_ difference: Int) { budgets.slots.charge(existing: difference, to: user) }

    func unsubscribe(_ count: Int) { budgets.subscriptions.release(count, of: user) }

    fileprivate func release(bytes: Int) {
        budgets.memories.release(1, of: user)
        budgets.memoryBytes.release(bytes, of: user)
    }
}

/// Memory that counts for a user as long as this object lives.
final class MemoryReservation: Sendable {
    private let account: UserAccount
    private let bytes: Int

    fileprivate init(account: UserAccount, bytes: Int) {
        self.account = account
        self.bytes = bytes
    }

    deinit { account.release(bytes: bytes) }
}
