internal import MemslotProtocol
internal import Memslots

/// What one user holds in the service, and its metrics.
final class UserAccount: Sendable {
    let user: UInt32
    /// The metrics of all VMs of the user, including destroyed ones.
    let metrics = Metrics()
    let budgets: Budgets
    /// Bounds the receipts of all VMs of the user.
    let receipts: ReceiptBudget

    init(user: UInt32, _ budgets: Budgets) {
        (self.user, self.budgets) = (user, budgets)
        receipts = ReceiptBudget(bytes: budgets.receiptBytesPerPeer, partOf: budgets.receipts)
    }

    /// Reserves a memory object of `bytes`, as long as the charges live. Throws `limit-exceeded`;
    /// nothing is reserved then.
    func reserve(bytes: UInt64) throws(ProtocolError) -> [BudgetCharge] {
        let object = try budgets.memories.charged(1, to: user)
        return [object, try budgets.memoryBytes.charged(Int(clamping: bytes), to: user)]
    }

    /// Reserves a restored memory object, even beyond the limits.
    func reserve(held bytes: UInt64) -> [BudgetCharge] {
        [
            budgets.memories.charged(existing: 1, to: user),
            budgets.memoryBytes.charged(existing: Int(clamping: bytes), to: user),
        ]
    }

    /// Changes the number of slots of the user's VMs.
    func addSlots(_ difference: Int) { budgets.slots.charge(existing: difference, to: user) }
    func unsubscribe(_ count: Int) { budgets.subscriptions.release(count, of: user) }
}
