internal import Glibc
internal import Memslots

/// A connection: what was negotiated, and whether it still works. A reply is read before the next
/// message is sent, so that every byte of the peer belongs to a known request.
struct FrontEndConnection {
    /// `nil` once the connection is closed.
    private var socket: PeerSocket?
    var backChannel: PeerSocket?
    private let configurationChanged: @Sendable () -> Void
    var features: VhostUserFeatures = []
    var protocolFeatures: VhostUserProtocolFeatures = []
    /// How many messages of each kind were sent.
    private(set) var sent: [VhostUserRequest: Int] = [:]

    init(_ socket: PeerSocket, configurationChanged: @escaping @Sendable () -> Void) {
        (self.socket, self.configurationChanged) = (socket, configurationChanged)
    }

    var isOpen: Bool { socket != nil }
    var backChannelDescriptor: Int32? { backChannel?.descriptor.number }

    mutating func close() { (socket, backChannel) = (nil, nil) }

    /// Sends a message without a reply, and waits for its acknowledgement if those are negotiated.
    mutating func command(
        _ request: VhostUserRequest, _ payload: [UInt8] = [], descriptors: [Int32] = [],
        by deadline: Deadline
    ) throws(VhostUserError) {
        let isAcknowledged = protocolFeatures.contains(.acknowledgement)
        try send(
            request, payload, descriptors: descriptors, needsReply: isAcknowledged, by: deadline)
        guard isAcknowledged else { return }
        var reply = WireReader(try reply(to: request, sizes: 8...8, by: deadline).payload)
        let status: UInt64 = reply.next()
        guard status == 0 else { throw .refused(request, status: status) }
    }

    /// Sends a message, and `follower` right behind it. Returns the reply, with `replyDescriptors`
    /// descriptors and a payload of so many bytes.
    mutating func query(
        _ request: VhostUserRequest, _ payload: [UInt8] = [], descriptors: [Int32] = [],
        sizes: ClosedRange<Int> = 8...8, replyDescriptors: Int = 0,
        follower: (request: VhostUserRequest, payload: [UInt8], descriptors: [Int32])? = nil,
        by deadline: Deadline
    ) throws(VhostUserError) -> PeerSocket.Message {
        try send(request, payload, descriptors: descriptors, by: deadline)
        if let follower {
            try send(
                follower.request, follower.payload, descriptors: follower.descriptors,
                follows: true, by: deadline)
        }
        return try reply(to: request, sizes: sizes, descriptors: replyDescriptors, by: deadline)
    }

    /// Returns the number that the peer replies to a request without a payload.
    mutating func number(
        _ request: VhostUserRequest, by deadline: Deadline
    ) throws(VhostUserError) -> UInt64 {
        var reader = WireReader(try query(request, by: deadline).payload)
        return reader.next()
    }

    /// Handles one message on the back channel, if there is one. Returns false if that is closed.
    mutating func serveBackChannel(by deadline: Deadline) throws(VhostUserError) -> Bool {
        guard let channel = backChannel else { return false }
        let step = "the back channel"
        do throws(VhostUserError) {
            let message = try channel.receive(during: step, by: deadline)
            guard message.header.hasVersion, !message.header.isReply else {
                throw .malformed(in: step, reason: "flags \(message.header.flags)")
            }
            // VHOST_USER_BACKEND_CONFIG_CHANGE_MSG; nothing else is negotiated.
            let isKnown = message.header.request == 2
            if isKnown { configurationChanged() }
            guard message.header.needsReply else { return true }
            let header = WireHeader(message.header.request, isReply: true, size: 8)
            let status = WireWriter { $0.append(isKnown ? 0 : 1 as UInt64) }
            try channel.send(header.bytes + status.bytes, during: step, by: deadline)
            return true
        } catch {
            backChannel = nil
            guard case .closed = error else { throw error }
            return false
        }
    }

    private mutating func send(
        _ request: VhostUserRequest, _ payload: [UInt8], descriptors: [Int32],
        needsReply: Bool = false, follows: Bool = false, by deadline: Deadline
    ) throws(VhostUserError) {
        guard let socket else { throw .closed(during: request.name) }
        do throws(VhostUserError) {
            if !follows { try socket.requireSilence(before: request) }
            let header = WireHeader(request.rawValue, needsReply: needsReply, size: payload.count)
            try socket.send(
                header.bytes + payload, descriptors: descriptors, during: request.name,
                by: deadline)
        } catch {
            close()
            throw error
        }
        sent[request, default: 0] += 1
    }

    private mutating func reply(
        to request: VhostUserRequest, sizes: ClosedRange<Int>, descriptors: Int = 0,
        by deadline: Deadline
    ) throws(VhostUserError) -> PeerSocket.Message {
        guard let socket else { throw .closed(during: request.name) }
        // A copy, because the closure below may not refer to `self`.
        var own = self
        defer { self.backChannel = own.backChannel }
        do throws(VhostUserError) {
            let handle = { () throws(VhostUserError) in try own.serveBackChannel(by: deadline) }
            let message = try socket.receive(
                during: request.name, by: deadline,
                beside: backChannelDescriptor.map { ($0, handle) })
            try Self.check(message, of: request, sizes: sizes, descriptors: descriptors)
            return message
        } catch {
            own.close()
            close()
            throw error
        }
    }

    private static func check(
        _ message: PeerSocket.Message, of request: VhostUserRequest, sizes: ClosedRange<Int>,
        descriptors: Int
    ) throws(VhostUserError) {
        let header = message.header
        guard header.hasVersion, header.isReply else {
            throw .malformed(in: request.name, reason: "flags \(header.flags)")
        }
        guard header.request == request.rawValue else {
            throw .wrongReply(to: request, got: header.request)
        }
        guard sizes.contains(message.payload.count) else {
            throw .malformed(
                in: request.name, reason: "a payload of \(message.payload.count) bytes")
        }
        guard message.descriptors.count == descriptors else {
            throw .wrongDescriptorCount(
                in: request.name, count: message.descriptors.count, expected: descriptors)
        }
    }
}
