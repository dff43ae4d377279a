import Glibc
import Memslots

@testable import MemslotVhostUser

/// A back end of ours, by the rules that libvhost-user has, which fails as a test asks.
///
/// It hangs up where libvhost-user would crash or break, and records why.
final class ScriptedPeer: Sendable {
    /// What happens instead of the correct execution of a message.
    enum Fault {
        /// The message is not executed, and the peer hangs up.
        case dieBefore
        /// The message is executed and replied to, then the peer hangs up.
        case dieAfter
        /// The message is not executed, and acknowledged with this number.
        case refuse(UInt64)
        /// The message is not executed but acknowledged with 0, then the peer hangs up.
        case acknowledgeAndDie
        /// The message is not executed, and this is sent.
        case send([UInt8], descriptors: [Int32])
        /// Nothing is sent.
        case keepSilent
        /// Runs first; then the message is executed as usual.
        case run(@Sendable (PeerSocket) -> Void)
    }

    struct Ring: Equatable {
        var size: UInt32 = 0
        var base: UInt32 = 0
        var addresses: [UInt64] = []
        var logsUsed = false
        var isStarted = false
        var isEnabled = false
        var hasCall = false
    }

    struct State {
        var received: [VhostUserRequest] = []
        var regions: [VhostUserRegion] = []
        var rings: [Int: Ring] = [:]
        var features: UInt64 = 0
        var logSize: UInt64 = 0
        var log: OwnedDescriptor?
        var broken: String?
        var isOver = false
        /// Whether memory may go beside running rings: their buffers are declared elsewhere.
        var toleratesRings = false
        var hasRunningRing: Bool { !toleratesRings && rings.values.contains(where: \.isStarted) }
        /// The base that a ring returns when it stops.
        var baseWhenStopped: [Int: UInt32] = [:]
    }

    struct Offer {
        var features: UInt64 = 1 << 26 | 1 << 30 | 1 << 32 | 1 << 33
        var protocolFeatures: UInt64 =
            1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 9 | 1 << 13 | 1 << 15
        var regionLimit: UInt64 = 32
    }

    let state = Locked(State())
    /// The end for the front end, which must adopt it.
    let frontEnd: Int32
    private let offer: Offer
    private let fault: @Sendable (Int, VhostUserRequest) -> Fault?
    private let keptDescriptors = Locked([Int32: OwnedDescriptor]())

    /// - Parameter fault: gets the number of each message, from 0 on, and its request.
    init(
        _ offer: Offer = Offer(),
        fault: @escaping @Sendable (Int, VhostUserRequest) -> Fault? = { _, _ in nil }
    ) throws {
        var ends: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw Errno(rawValue: errno) }
        frontEnd = ends[0]
        self.offer = offer
        self.fault = fault
        let socket = PeerSocket(descriptor: OwnedDescriptor(adopting: ends[1]))
        try OwnThread { [self] in
            serve(socket)
            keptDescriptors.withLock { $0 = [:] }
            state.change { state in
                state.log = nil
                state.isOver = true
            }
        }.detach()
    }

    var received: [VhostUserRequest] { state.withLock { $0.received } }
    var regions: [VhostUserRegion] {
        state.withLock { $0.regions.sorted { $0.guestAddress < $1.guestAddress } }
    }
    var keptDescriptorNumbers: [Int32] { keptDescriptors.withLock { Array($0.keys) } }
    var broken: String? { state.withLock { $0.broken } }

    /// Records a write to a guest page, as a back end does that logs.
    ///
    /// - Returns: whether it logs, and the log has a bit for the page.
    func recordWrite(_ page: UInt64) -> Bool {
        state.withLock { state in
            guard let log = state.log, page / 8 < state.logSize, state.features >> 26 & 1 == 1
            else { return false }
            var byte: UInt8 = 0
            pread(log.number, &byte, 1, off_t(page / 8))
            byte |= 1 << (page % 8)
            return pwrite(log.number, &byte, 1, off_t(page / 8)) == 1
        }
    }

    /// Waits until the connection has ended.
    func waitUntilOver() { state.withLock(waitingWhile: { !$0.isOver }) { _ in } }

    private func serve(_ socket: PeerSocket) {
        var number = 0
        while let message = try? socket.receive(during: "peer", by: .never),
            let request = VhostUserRequest(rawValue: message.header.request)
        {
            let fault = fault(number, request)
            number += 1
            var ack: UInt64 = 0
            var executes = true
            switch fault {
            case .dieBefore: return
            case .refuse(let status): (ack, executes) = (status, false)
            case .acknowledgeAndDie: executes = false
            case .send(let bytes, let descriptors):
                try? socket.send(bytes, descriptors: descriptors, during: "peer", by: .never)
                continue
            case .keepSilent: continue
            case .run(let body): body(socket)
            case .dieAfter, nil: break
            }
            let reply = state.change { state -> [UInt8]? in
                state.received.append(request)
                guard executes else { return nil }
                return execute(request, message, &state)
            }
            if let reply {
                self.reply(to: request, reply, on: socket)
            } else if message.header.needsReply {
                self.reply(to: request, WireWriter { $0.append(ack) }.bytes, on: socket)
            }
            if case .dieAfter = fault { return }
            if case .acknowledgeAndDie = fault { return }
            if broken != nil { return }
        }
    }

    private func reply(to request: VhostUserRequest, _ payload: [UInt8], on socket: PeerSocket) {
        let header = WireHeader(request.rawValue, isReply: true, size: payload.count)
        let pipe = request == .getInflight ? [socket.descriptor.number] : []
        try? socket.send(header.bytes + payload, descriptors: pipe, during: "peer", by: .never)
    }

    private func execute(
        _ request: VhostUserRequest, _ message: PeerSocket.Message, _ state: inout State
    ) -> [UInt8]? {
        var reader = WireReader(message.payload)
        func bytes(_ number: UInt64) -> [UInt8] { WireWriter { $0.append(number) }.bytes }
        switch request {
        case .getFeatures: return bytes(offer.features)
        case .setFeatures: state.features = reader.next()
        case .getProtocolFeatures: return bytes(offer.protocolFeatures)
        case .setProtocolFeatures, .setOwner, .setBackChannel, .setRingError, .setInflight,
            .setConfiguration, .resetDevice:
            // The back channel stays open until the connection ends.
            for descriptor in message.descriptors {
                keptDescriptors.withLock { $0[descriptor.number] = descriptor }
            }
        case .getRingCount: return bytes(4)
        case .getMaxMemorySlots: return bytes(offer.regionLimit)
        case .setLogBase:
            state.logSize = reader.next()
            state.log = message.descriptors.first
            return bytes(0)
        case .getConfiguration: return message.payload
        case .getInflight: return message.payload
        case .setMemoryTable:
            let (count, _): (UInt32, UInt32) = (reader.next(), reader.next())
            state.regions = (0..<count).map { _ in region(&reader) }
            if message.descriptors.count != Int(count) { state.broken = "table descriptors" }
            if state.hasRunningRing { state.broken = "table beside rings" }
            remapRings(&state)
        case .addRegion:
            let _: UInt64 = reader.next()
            let added = region(&reader)
            if state.regions.contains(where: { $0.guestRange.overlaps(added.guestRange) }) {
                state.broken = "ADD over a present region"
            }
            if state.regions.count >= Int(offer.regionLimit) { state.broken = "no slot left" }
            if message.descriptors.count != 1 { state.broken = "ADD descriptors" }
            state.regions.append(added)
            remapRings(&state)
        case .removeRegion:
            let _: UInt64 = reader.next()
            let removed = region(&reader)
            if state.hasRunningRing { state.broken = "REM beside rings" }
            guard
                let index = state.regions.firstIndex(where: { $0.guestRange == removed.guestRange })
            else {
                state.broken = "REM of a region that is not there"
                return nil
            }
            state.regions.remove(at: index)
        case .setRingSize:
            update(&reader, &state) { $0.size = $1 }
        case .setRingBase:
            update(&reader, &state) { $0.base = $1 }
        case .setRingEnable:
            update(&reader, &state) { $0.isEnabled = $1 != 0 }
        case .setRingAddresses:
            let (index, flags): (UInt32, UInt32) = (reader.next(), reader.next())
            let addresses: [UInt64] = [reader.next(), reader.next(), reader.next()]
            state.rings[Int(index), default: Ring()].logsUsed = flags & 1 != 0
            state.rings[Int(index), default: Ring()].addresses = addresses
            remapRings(&state)
        case .setRingKick, .setRingCall:
            let word: UInt64 = reader.next()
            let ring = Int(word & 0xff)
            if message.descriptors.count != (word >> 8 & 1 == 0 ? 1 : 0) {
                state.broken = "event descriptors"
            }
            if request == .setRingKick {
                state.rings[ring, default: Ring()].isStarted = true
            } else {
                state.rings[ring, default: Ring()].hasCall = true
            }
        case .getRingBase:
            let index: UInt32 = reader.next()
            state.rings[Int(index), default: Ring()].isStarted = false
            state.rings[Int(index), default: Ring()].hasCall = false
            let base = state.baseWhenStopped[Int(index)] ?? state.rings[Int(index)]?.base ?? 0
            return WireWriter { $0.append(index, base) }.bytes
        }
        return nil
    }

    private func region(_ reader: inout WireReader) -> VhostUserRegion {
        let words: [UInt64] = [reader.next(), reader.next(), reader.next(), reader.next()]
        return VhostUserRegion(
            guestAddress: GuestPhysicalAddress(words[0]), size: ByteCount(words[1]),
            object: 1, fileOffset: ByteCount(words[3]))
    }

    private func update(
        _ reader: inout WireReader, _ state: inout State, _ body: (inout Ring, UInt32) -> Void
    ) {
        let (index, value): (UInt32, UInt32) = (reader.next(), reader.next())
        body(&state.rings[Int(index), default: Ring()], value)
    }

    /// As libvhost-user does: each ring that was ever set up must be in the table.
    private func remapRings(_ state: inout State) {
        for (number, ring) in state.rings {
            for address in ring.addresses
            where !state.regions.contains(where: {
                $0.userAddress.rawValue..<$0.userAddress.rawValue + $0.size.rawValue ~= address
            }) {
                state.broken = "ring \(number) is in no region"
            }
        }
    }
}

extension Deadline {
    /// Far enough away that a loaded machine does not reach it.
    static var soon: Deadline { .after(.seconds(30)) }
}
