internal import Glibc
internal import MemslotProtocol
internal import MemslotVhostUser
internal import Memslots

/// A vhost-user back end that follows the table of a VM. It has no rings.
///
/// A peer passed its socket, which another process holds and relays: closing it may never return.
final class AttachedObserver: Sendable {
    /// How long the back end may take for one step beside a transaction's own deadline.
    private static let patience = Duration.seconds(5)
    /// The most regions that a back end has here, whatever it offers.
    private static let regionLimit = 512

    let hook: VhostUserObserver
    private let end: ObserverSocket

    /// Negotiates with the back end behind `socket`, which is adopted.
    init(
        _ parameters: ObserverParameters, _ socket: ObserverSocket, memory: VMMemory
    ) throws(VhostUserError) {
        end = socket
        let front = VhostUserFrontEnd(adopting: try socket.copy())
        // What needs rings, or descriptors from the peer, is not negotiated.
        var offer = try front.open(
            wanting: [.acknowledgement, .memorySlots], by: .after(Self.patience))
        // The relay keeps descriptors with their message if each is answered before the next.
        guard offer.protocolFeatures.contains(.acknowledgement) else {
            throw .notNegotiated("REPLY_ACK")
        }
        (offer.regionLimit, offer.ringCount) = (min(offer.regionLimit, Self.regionLimit), 0)
        try front.set(.version1.intersection(offer.features), by: .after(Self.patience))
        let names = parameters.filter.map { Set($0.map { Name($0) }) }
        hook = try VhostUserObserver(
            name: parameters.observer, frontEnd: front, offer: offer,
            isVisible: { slot in
                let name = memory.objects.withLock { objects in
                    slot.memory.flatMap { objects.name(of: $0.object) }
                }
                return VhostUserObserver.isWritableMemory(slot)
                    && (names.map { $0.contains(Name(name ?? "")) } ?? true)
            }, descriptor: { object in memory.objects.withLock { $0.descriptor(of: object) } },
            patience: Self.patience)
    }

    deinit { shutDown() }

    /// Ends the connection, also beneath a transaction that waits for the back end.
    func shutDown() { end.shutDown() }
}

/// The socket of an observer's relay. It counts against its user until the relay has closed what the
/// peer passed.
final class ObserverSocket: Sendable {
    private let descriptor: Int32
    private let charge: BudgetCharge
    private let isShutDown = Locked(false)

    init(adopting descriptor: Int32, charge: BudgetCharge) {
        (self.descriptor, self.charge) = (descriptor, charge)
    }

    deinit { close(descriptor) }

    func copy() throws(VhostUserError) -> Int32 {
        try converting({ VhostUserError.systemCall("fcntl", $0) }, duplicate(descriptor))
    }

    /// Lets the relay end.
    func shutDown() {
        shutdown(descriptor, Int32(SHUT_WR))
        isShutDown.withLock { $0 = true }
    }

    /// Whether the relay has ended. What the peer still sends is discarded, but not without end.
    var isClosed: Bool {
        guard isShutDown.withLock({ $0 }) else { return false }
        return withUnsafeTemporaryAllocation(byteCount: 1 << 12, alignment: 1) { room in
            for _ in 0..<64 {
                let count = recv(descriptor, room.baseAddress, room.count, Int32(MSG_DONTWAIT))
                if count <= 0 { return count == 0 || errno != EAGAIN }
            }
            return false
        }
    }
}
