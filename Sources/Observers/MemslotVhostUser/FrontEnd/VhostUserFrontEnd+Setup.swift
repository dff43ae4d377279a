internal import CLinux
internal import Glibc
public import Memslots

/// What a back end offers, as far as this front end handles it.
public struct VhostUserOffer: Hashable, Sendable {
    /// The features that it offers, without `ACCESS_PLATFORM`.
    public var features: VhostUserFeatures
    /// The protocol features that are negotiated.
    public var protocolFeatures: VhostUserProtocolFeatures
    /// How many rings it has; 1 where it doesn't report it. Set 0 to use none: then it needs no dirty log.
    public var ringCount: Int
    /// How many regions it has room for.
    public var regionLimit: Int

    /// The regions that one SET_MEM_TABLE can have.
    public static let tableLimit = 8
}

/// Features, owner, configuration, inflight buffer, back channel, dirty log.
extension VhostUserFrontEnd {
    /// Becomes the owner and negotiates the protocol's features: those of `wanted` that the back
    /// end offers and this front end handles. Set the device's features next.
    public func open(
        wanting wanted: VhostUserProtocolFeatures = .handled, by deadline: Deadline
    ) throws(VhostUserError) -> VhostUserOffer {
        try connection.withLock { connection throws(VhostUserError) in
            try connection.command(.setOwner, by: deadline)
            var features = VhostUserFeatures(
                rawValue: try connection.number(.getFeatures, by: deadline))
            features.remove(.accessPlatform)
            var offer = VhostUserOffer(
                features: features, protocolFeatures: [], ringCount: 1,
                regionLimit: VhostUserOffer.tableLimit)
            guard features.contains(.protocolFeatures) else { return offer }
            var common = VhostUserProtocolFeatures(
                rawValue: try connection.number(.getProtocolFeatures, by: deadline))
            common.formIntersection(wanted.intersection(.handled))
            try connection.command(
                .setProtocolFeatures, WireWriter { $0.append(common.rawValue) }.bytes, by: deadline)
            connection.protocolFeatures = common
            offer.protocolFeatures = common
            if common.contains(.multipleRings) {
                offer.ringCount = Int(clamping: try connection.number(.getRingCount, by: deadline))
            }
            if common.contains(.memorySlots) {
                offer.regionLimit = Int(
                    clamping: try connection.number(.getMaxMemorySlots, by: deadline))
            }
            return offer
        }
    }

    /// Sets the device's features. `protocolFeatures` is added where it was negotiated.
    public func set(_ features: VhostUserFeatures, by deadline: Deadline) throws(VhostUserError) {
        guard !features.contains(.accessPlatform) else {
            throw .invalid("ACCESS_PLATFORM can't be set: there is no IOMMU behind this front end")
        }
        try connection.withLock { connection throws(VhostUserError) in
            var features = features
            if !connection.protocolFeatures.isEmpty { features.insert(.protocolFeatures) }
            try connection.command(
                .setFeatures, WireWriter { $0.append(features.rawValue) }.bytes, by: deadline)
            connection.features = features
        }
    }

    /// Resets the device.
    public func resetDevice(by deadline: Deadline) throws(VhostUserError) {
        try require(.resetDevice, "RESET_DEVICE")
        try command(.resetDevice, by: deadline)
    }

    /// Opens a channel on which the back end sends requests of its own.
    public func openBackChannel(by deadline: Deadline) throws(VhostUserError) {
        try require(.backChannel, "BACKEND_REQ")
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &pair) == 0 else {
            throw .systemCall("socketpair", .last)
        }
        let (own, other) = (OwnedDescriptor(adopting: pair[0]), OwnedDescriptor(adopting: pair[1]))
        try connection.withLock { connection throws(VhostUserError) in
            try connection.command(.setBackChannel, descriptors: [other.number], by: deadline)
            connection.backChannel = PeerSocket(descriptor: own)
        }
    }

    /// Returns `count` bytes of the device's configuration from `offset` on.
    public func configuration(
        at offset: UInt32, count: Int, by deadline: Deadline
    ) throws(VhostUserError) -> [UInt8] {
        try require(.configuration, "CONFIG")
        guard 1...256 ~= count else { throw .invalid("a configuration has 1 to 256 bytes") }
        let payload = WireWriter {
            $0.append(offset, UInt32(count), 0)
            $0.append(contentsOf: [UInt8](repeating: 0, count: count))
        }.bytes
        return try connection.withLock { connection throws(VhostUserError) in
            let reply = try connection.query(
                .getConfiguration, payload, sizes: 0...payload.count, by: deadline)
            // A reply without a payload means no in the protocol.
            guard reply.payload.count == payload.count else {
                throw .refused(.getConfiguration, status: UInt64(reply.payload.count))
            }
            return Array(reply.payload.dropFirst(12))
        }
    }

    /// Writes `bytes` into the device's configuration from `offset` on, for the guest's driver.
    public func setConfiguration(
        _ bytes: [UInt8], at offset: UInt32, by deadline: Deadline
    ) throws(VhostUserError) {
        try require(.configuration, "CONFIG")
        guard 1...256 ~= bytes.count else { throw .invalid("a configuration has 1 to 256 bytes") }
        let payload = WireWriter {
            $0.append(offset, UInt32(bytes.count), 0)
            $0.append(contentsOf: bytes)
        }.bytes
        try command(.setConfiguration, payload, by: deadline)
    }

    /// Returns a buffer in which the back end records the requests that are in flight.
    func inflightBuffer(
        rings: Int, ringSize: UInt16, by deadline: Deadline
    ) throws(VhostUserError) -> InflightBuffer {
        try require(.inflight, "INFLIGHT_SHMFD")
        let asked = InflightBuffer.payload(size: 0, offset: 0, rings: rings, ringSize: ringSize)
        return try connection.withLock { connection throws(VhostUserError) in
            let reply = try connection.query(
                .getInflight, asked, sizes: 20...24, replyDescriptors: 1, by: deadline)
            var reader = WireReader(reply.payload)
            return InflightBuffer(
                size: reader.next(), offset: reader.next(), rings: rings, ringSize: ringSize,
                descriptor: reply.descriptors[0])
        }
    }

    /// Passes a buffer that an earlier connection returned. Send it before the rings.
    func set(_ buffer: InflightBuffer, by deadline: Deadline) throws(VhostUserError) {
        try require(.inflight, "INFLIGHT_SHMFD")
        let payload = InflightBuffer.payload(
            size: buffer.size, offset: buffer.offset, rings: buffer.rings,
            ringSize: buffer.ringSize)
        try command(.setInflight, payload, descriptors: [buffer.descriptor.number], by: deadline)
    }

    /// Passes the file in which the back end records what it writes, a bit for 4 KiB. The reply's
    /// number is no status: every back end that was tried returns something else.
    func setLog(descriptor: Int32, size: UInt64, by deadline: Deadline) throws(VhostUserError) {
        try require(.sharedLog, "LOG_SHMFD")
        try connection.withLock { connection throws(VhostUserError) in
            _ = try connection.query(
                .setLogBase, WireWriter { $0.append(size, 0) }.bytes, descriptors: [descriptor],
                sizes: 0...8, by: deadline)
        }
    }
}

/// Memory in which a back end records its requests in flight, so that its successor knows them.
struct InflightBuffer: Sendable {
    var size, offset: UInt64
    var rings: Int
    var ringSize: UInt16
    var descriptor: OwnedDescriptor

    static func payload(size: UInt64, offset: UInt64, rings: Int, ringSize: UInt16) -> [UInt8] {
        WireWriter {
            $0.append(size, offset)
            // The structure of the protocol is padded to a multiple of 8 bytes.
            $0.append(UInt16(rings), ringSize, 0, 0)
        }.bytes
    }
}
