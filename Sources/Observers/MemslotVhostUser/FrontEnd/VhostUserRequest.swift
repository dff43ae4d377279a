/// A request of the vhost-user protocol, by its number on the wire.
///
/// Source: QEMU, docs/interop/vhost-user.rst, *Front-end message types*.
public enum VhostUserRequest: UInt32, CaseIterable, Hashable, Sendable {
    case getFeatures = 1
    case setFeatures = 2
    case setOwner = 3
    case setMemoryTable = 5
    case setLogBase = 6
    case setRingSize = 8
    case setRingAddresses = 9
    case setRingBase = 10
    case getRingBase = 11
    case setRingKick = 12
    case setRingCall = 13
    case setRingError = 14
    case getProtocolFeatures = 15
    case setProtocolFeatures = 16
    case getRingCount = 17
    case setRingEnable = 18
    case setBackChannel = 21
    case getConfiguration = 24
    case setConfiguration = 25
    case getInflight = 31
    case setInflight = 32
    case resetDevice = 34
    case getMaxMemorySlots = 36
    case addRegion = 37
    case removeRegion = 38

    /// The name that the protocol gives it, without the prefix `VHOST_USER_`.
    public var name: String { Self.names[self] ?? "\(rawValue)" }

    private static let names: [VhostUserRequest: String] = [
        .getFeatures: "GET_FEATURES", .setFeatures: "SET_FEATURES", .setOwner: "SET_OWNER",
        .setMemoryTable: "SET_MEM_TABLE", .setLogBase: "SET_LOG_BASE",
        .setRingSize: "SET_VRING_NUM", .setRingAddresses: "SET_VRING_ADDR",
        .setRingBase: "SET_VRING_BASE", .getRingBase: "GET_VRING_BASE",
        .setRingKick: "SET_VRING_KICK", .setRingCall: "SET_VRING_CALL",
        .setRingError: "SET_VRING_ERR", .getProtocolFeatures: "GET_PROTOCOL_FEATURES",
        .setProtocolFeatures: "SET_PROTOCOL_FEATURES", .getRingCount: "GET_QUEUE_NUM",
        .setRingEnable: "SET_VRING_ENABLE", .setBackChannel: "SET_BACKEND_REQ_FD",
        .getConfiguration: "GET_CONFIG", .setConfiguration: "SET_CONFIG",
        .getInflight: "GET_INFLIGHT_FD", .setInflight: "SET_INFLIGHT_FD",
        .resetDevice: "RESET_DEVICE", .getMaxMemorySlots: "GET_MAX_MEM_SLOTS",
        .addRegion: "ADD_MEM_REG", .removeRegion: "REM_MEM_REG",
    ]
}

/// Feature bits of virtio and vhost that this front end handles itself.
public struct VhostUserFeatures: OptionSet, Hashable, Sendable {
    /// The bits of the protocol.
    public var rawValue: UInt64

    /// Creates features from the protocol's bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The back end records what it writes. The corresponding C constant is `VHOST_F_LOG_ALL`.
    public static let logAll = VhostUserFeatures(rawValue: 1 << 26)
    /// There are protocol features. In C: `VHOST_USER_F_PROTOCOL_FEATURES`.
    public static let protocolFeatures = VhostUserFeatures(rawValue: 1 << 30)
    /// The corresponding C constant is `VIRTIO_F_VERSION_1`.
    public static let version1 = VhostUserFeatures(rawValue: 1 << 32)
    /// Never negotiated: there is no IOMMU. In C: `VIRTIO_F_ACCESS_PLATFORM`.
    public static let accessPlatform = VhostUserFeatures(rawValue: 1 << 33)
    /// The corresponding C constant is `VIRTIO_F_RING_PACKED`.
    public static let packedRing = VhostUserFeatures(rawValue: 1 << 34)
}

/// Features of the protocol itself. The corresponding C constants begin with
/// `VHOST_USER_PROTOCOL_F_`.
public struct VhostUserProtocolFeatures: OptionSet, Hashable, Sendable {
    /// The bits of the protocol.
    public var rawValue: UInt64

    /// Creates features from the protocol's bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Several rings: `MQ`.
    public static let multipleRings = VhostUserProtocolFeatures(rawValue: 1 << 0)
    /// The dirty log is a descriptor: `LOG_SHMFD`.
    public static let sharedLog = VhostUserProtocolFeatures(rawValue: 1 << 1)
    /// Any message may ask for an acknowledgement: `REPLY_ACK`.
    public static let acknowledgement = VhostUserProtocolFeatures(rawValue: 1 << 3)
    /// The back end sends requests of its own: `BACKEND_REQ`.
    public static let backChannel = VhostUserProtocolFeatures(rawValue: 1 << 5)
    /// `CONFIG`.
    public static let configuration = VhostUserProtocolFeatures(rawValue: 1 << 9)
    /// Requests in flight survive the back end: `INFLIGHT_SHMFD`.
    public static let inflight = VhostUserProtocolFeatures(rawValue: 1 << 12)
    /// `RESET_DEVICE`.
    public static let resetDevice = VhostUserProtocolFeatures(rawValue: 1 << 13)
    /// Regions are added and removed one by one: `CONFIGURE_MEM_SLOTS`.
    public static let memorySlots = VhostUserProtocolFeatures(rawValue: 1 << 15)

    /// All that this front end handles. `PAGEFAULT` is not among them, so that no reply of a
    /// postcopy migration exists.
    public static let handled: VhostUserProtocolFeatures = [
        .multipleRings, .sharedLog, .acknowledgement, .backChannel, .configuration, .inflight,
        .resetDevice, .memorySlots,
    ]
}
