internal import MemslotProtocol
internal import Memslots

/// What one user holds in the service, with its limits and metrics.
final class UserAccount: Sendable {
    /// What the user holds now.
    struct Holdings: Sendable {
        var memories = 0
        var memoryBytes: UInt64 = 0
        var slots = 0
        var subscriptions = 0
    }

    let user: UInt32
    /// The metrics of all VMs of the user, including destroyed ones.
    let metrics = Metrics()
    private let state = Locked(Holdings())

    init(user: UInt32) { self.user = user }

    var holdings: Holdings { state.withLock { $0 } }

    /// Reserves memory of `bytes`, as long as the reservation lives.
    ///
    /// - Throws: `limit-exceeded`.
    func reserve(
        bytes: UInt64, _ limits: ServiceLimits
    ) throws(ProtocolError) -> MemoryReservation {
        try state.withLock { state throws(ProtocolError) in
            guard state.memories < limits.memoriesPerPeer else {
                throw .limit(
                    "memoriesPerPeer", "a peer has at most \(limits.memoriesPerPeer) memory objects"
                )
            }
            let sum = state.memoryBytes.addingReportingOverflow(bytes)
            guard !sum.overflow, sum.partialValue <= limits.memoryBytesPerPeer else {
                throw .limit(
                    "memoryBytesPerPeer",
                    "a peer's memory objects have at most \(limits.memoryBytesPerPeer) bytes")
            }
            state.memories += 1
            state.memoryBytes = sum.partialValue
        }
        return MemoryReservation(account: self, bytes: bytes)
    }

    /// Reserves memory of a restored object, even beyond the limits.
    func reserve(held bytes: UInt64) -> MemoryReservation {
        state.withLock { state in
            state.memories += 1
            state.memoryBytes &+= bytes
        }
        return MemoryReservation(account: self, bytes: bytes)
    }

    /// Changes the number of slots of the user's VMs.
    func addSlots(_ difference: Int) { state.withLock { $0.slots += difference } }

    /// Adds `count` subscriptions.
    ///
    /// - Throws: `limit-exceeded`; none is added then.
    func subscribe(_ count: Int, _ limits: ServiceLimits) throws(ProtocolError) {
        try state.withLock { state throws(ProtocolError) in
            guard state.subscriptions + count <= limits.subscriptionsPerPeer else {
                throw .limit(
                    "subscriptionsPerPeer",
                    "a peer has at most \(limits.subscriptionsPerPeer) subscriptions; end one first"
                )
            }
            state.subscriptions += count
        }
    }

    func unsubscribe(_ count: Int) { state.withLock { $0.subscriptions -= count } }

    fileprivate func release(bytes: UInt64) {
        state.withLock { state in
            state.memories -= 1
            state.memoryBytes &-= bytes
        }
    }
}

/// Memory that counts for a user as long as this object lives.
final class MemoryReservation: Sendable {
    private let account: UserAccount
    private let bytes: UInt64

    fileprivate init(account: UserAccount, bytes: UInt64) {
        self.account = account
        self.bytes = bytes
    }

    deinit { account.release(bytes: bytes) }
}
