internal import MemslotProtocol
internal import Memslots

/// What one user has in the service, as far as it is limited, and what it did.
final class UserAccount: Sendable {
    /// What is held now.
    struct Holdings: Sendable {
        var memories = 0
        var memoryBytes: UInt64 = 0
        var slots = 0
        var subscriptions = 0
    }

    let user: UInt32
    /// Of all its VMs, those that are gone too.
    let metrics = Metrics()
    private let state = Locked(Holdings())

    init(user: UInt32) { self.user = user }

    var holdings: Holdings { state.withLock { $0 } }

    /// Sets memory of `bytes` aside, until the reservation is let go.
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

    /// Counts memory that was had before, whatever the limits are now.
    func reserve(held bytes: UInt64) -> MemoryReservation {
        state.withLock { state in
            state.memories += 1
            state.memoryBytes &+= bytes
        }
        return MemoryReservation(account: self, bytes: bytes)
    }

    /// Counts a change of how many slots the user's VMs have.
    func addSlots(_ difference: Int) { state.withLock { $0.slots += difference } }

    /// Counts `count` subscriptions more.
    ///
    /// - Throws: `limit-exceeded`; nothing is counted then.
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

    /// Counts `count` subscriptions less.
    func unsubscribe(_ count: Int) { state.withLock { $0.subscriptions -= count } }

    fileprivate func giveBack(bytes: UInt64) {
        state.withLock { state in
            state.memories -= 1
            state.memoryBytes &-= bytes
        }
    }
}

/// Memory that counts for a user as long as this is kept.
final class MemoryReservation: Sendable {
    private let account: UserAccount
    private let bytes: UInt64

    fileprivate init(account: UserAccount, bytes: UInt64) {
        self.account = account
        self.bytes = bytes
    }

    deinit { account.giveBack(bytes: bytes) }
}

extension ProtocolError {
    /// The error of a limit that is crossed.
    static func limit(_ name: String, path: String? = nil, _ message: String) -> ProtocolError {
        ProtocolError(ErrorData(.limitExceeded, path: path, limit: name), message: message)
    }
}
