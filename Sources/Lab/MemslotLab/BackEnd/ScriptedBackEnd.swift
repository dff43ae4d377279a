import Glibc
import MemslotVhostUser
import Memslots

/// What a vhost-user back end does instead of executing a message.
package enum BackEndFault: String, CaseIterable, Hashable, Sendable {
    case refuses, dies, isSilent
    /// It executes the message, and then hangs up.
    case diesAfterwards
    /// It acknowledges the message, and hangs up, as libvhost-user does.
    case lies
}

/// A vhost-user back end without rings, which fails at one message as a proof asks.
final class ScriptedBackEnd: Sendable {
    struct State {
        /// The number of messages so far.
        var received = 0
        /// What happens at which message, or at the first after it where it can.
        var fault: (message: Int, kind: BackEndFault)?
        /// Whether that has happened.
        var hasFailed = false
        /// Whether it has hung up.
        var isOver = false
        /// Guest address, size, user address and offset of each, ascending.
        var regions: [[UInt64]] = []
        /// A rule of the protocol that the front end broke.
        var broken: String?
    }

    let state = Locked(State())
    let frontEnd: VhostUserFrontEnd
    let offer: VhostUserOffer

    init() throws(VhostUserError) {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else {
            throw .systemCall("socketpair", .last)
        }
        frontEnd = VhostUserFrontEnd(adopting: ends[0])
        let socket = PeerSocket(descriptor: OwnedDescriptor(adopting: ends[1]))
        let state = state
        // The thread ends with the connection.
        let thread = try converting(
            { VhostUserError.systemCall("pthread_create", $0) },
            OwnThread {
                while let message = try? socket.receive(during: "back end", by: .never) {
                    let (reply, isOver) = state.withLock { Self.reply(message, &$0) }
                    if let reply {
                        let header = WireHeader(message.header.request, isReply: true, size: 8)
                        let bytes = header.bytes + WireWriter { $0.append(reply) }.bytes
                        try? socket.send(bytes, during: "back end", by: .never)
                    }
                    if isOver { return }
                }
            })
        thread.detach()
        offer = try frontEnd.open(by: .never)
        try frontEnd.set([.version1], by: .never)
    }

    private static func reply(
        _ message: PeerSocket.Message, _ state: inout State
    ) -> (reply: UInt64?, isOver: Bool) {
        let isAcknowledged = message.header.needsReply
        var fault = state.fault.flatMap { $0.message <= state.received ? $0.kind : nil }
        state.received += 1
        if state.hasFailed || !isAcknowledged && (fault == .refuses || fault == .lies) {
            fault = nil
        }
        state.hasFailed = state.hasFailed || fault != nil
        state.isOver = fault == .dies || fault == .diesAfterwards || fault == .lies
        let reply: UInt64? =
            switch fault {
            case .refuses: 1
            case .lies: 0
            case .dies, .isSilent: nil
            case .diesAfterwards, nil: execute(message, &state) ?? (isAcknowledged ? 0 : nil)
            }
        return (reply, state.isOver)
    }

    /// Returns the number of a reply that the request has of its own.
    private static func execute(_ message: PeerSocket.Message, _ state: inout State) -> UInt64? {
        var reader = WireReader(message.payload)
        let words: [UInt64] = (0..<message.payload.count / 8).map { _ in reader.next() }
        // Before the regions is their count, or padding.
        let regions = stride(from: 1, to: words.count - 3, by: 4).map { Array(words[$0..<$0 + 4]) }
        switch VhostUserRequest(rawValue: message.header.request) {
        case .getFeatures: return VhostUserFeatures([.protocolFeatures, .version1]).rawValue
        case .getProtocolFeatures:
            return VhostUserProtocolFeatures([.multipleRings, .acknowledgement, .memorySlots])
                .rawValue
        case .getRingCount: return 0
        case .getMaxMemorySlots: return 1 << 15
        case .setMemoryTable: state.regions = regions
        case .addRegion: state.regions += regions
        case .removeRegion:
            let count = state.regions.count
            state.regions.removeAll(where: regions.contains)
            if state.regions.count != count - 1 {
                state.broken = "the removal of an unknown region"
            }
        default: break
        }
        state.regions.sort { $0[0] < $1[0] }
        if zip(state.regions, state.regions.dropFirst()).contains(where: { $0[0] + $0[1] > $1[0] })
        {
            state.broken = "two regions at one address"
        }
        return nil
    }

    /// Whether its table is what `slots` have for devices, wherever regions end.
    func has(_ slots: [Memslot]) -> Bool {
        let regions = state.withLock { $0.regions.map { [$0[0], $0[1], $0[3]] } }
        let wanted = slots.filter(VhostUserObserver.isWritableMemory).map {
            [$0.guestPhysicalAddress.rawValue, $0.size.rawValue, $0.userspaceAddress.rawValue]
        }
        return Self.runs(regions) == Self.runs(wanted.sorted { $0[0] < $1[0] })
    }

    private static func runs(_ pieces: [[UInt64]]) -> [[UInt64]] {
        pieces.reduce(into: []) { runs, piece in
            if let last = runs.last, last[0] + last[1] == piece[0], last[2] + last[1] == piece[2] {
                runs[runs.count - 1][1] += piece[1]
            } else {
                runs.append(piece)
            }
        }
    }
}
