internal import CLinux
internal import Glibc
public import Memslots

/// The front end's half of a vhost-user connection: each request as a function.
///
/// Call it from any thread; one request is executed at a time. Every function returns when the peer
/// has replied, or throws ``VhostUserError`` at the deadline.
///
/// An acknowledgement of a memory table or region proves nothing: libvhost-user acknowledges a
/// request that it could not execute with 0, and then hangs up. ``confirm(by:)`` finds that out.
///
/// Source: QEMU, docs/interop/vhost-user.rst.
public final class VhostUserFrontEnd: Sendable {
    let connection: Locked<FrontEndConnection>

    /// Adopts a connected stream socket.
    ///
    /// - Parameters:
    ///   - descriptor: the socket, which is closed with this object.
    ///   - configurationChanged: called when the back end reports a change of its configuration, on
    ///     the thread that waits for it; must not call this front end.
    public init(
        adopting descriptor: Int32, configurationChanged: @escaping @Sendable () -> Void = {}
    ) {
        let socket = PeerSocket(descriptor: OwnedDescriptor(adopting: descriptor))
        connection = Locked(FrontEndConnection(socket, configurationChanged: configurationChanged))
    }

    /// Connects to the socket at `path`; one that begins with `@` is an abstract address.
    public convenience init(
        connectingTo path: String, by deadline: Deadline,
        configurationChanged: @escaping @Sendable () -> Void = {}
    ) throws(VhostUserError) {
        let descriptor = try valueOfCall("socket", clinux_stream_socket())
        self.init(adopting: descriptor, configurationChanged: configurationChanged)
        // A connect waits while the listener's queue is full, as long as a send may wait.
        let left = deadline.remaining.map { max($0.wholeNanoseconds, 1_000) } ?? 0
        var time = timeval(
            tv_sec: Int(left / 1_000_000_000), tv_usec: Int(left / 1_000 % 1_000_000))
        setsockopt(
            descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        let status = clinux_connect(descriptor, path)
        if status == -EAGAIN { throw .timeout(during: "connect") }
        _ = try valueOfCall("connect", status)
    }

    /// A Boolean value that indicates whether no error has ended the connection.
    public var isOpen: Bool { connection.withLock { $0.isOpen } }

    /// The features that are set in the back end.
    public var features: VhostUserFeatures { connection.withLock { $0.features } }

    /// The protocol features that are set in the back end.
    public var protocolFeatures: VhostUserProtocolFeatures {
        connection.withLock { $0.protocolFeatures }
    }

    /// How many messages of each kind were sent since the front end exists.
    public var messagesSent: [VhostUserRequest: Int] { connection.withLock { $0.sent } }

    /// Closes the connection. Every later request throws `closed`.
    public func close() { connection.withLock { $0.close() } }

    /// The descriptor that becomes readable when the back end sends a request of its own; `nil`
    /// without a back channel. Call ``serveBackChannel(by:)`` then.
    public var backChannelDescriptor: Int32? { connection.withLock { $0.backChannelDescriptor } }

    /// Handles one request of the back end. While a reply is awaited this happens by itself.
    public func serveBackChannel(by deadline: Deadline) throws(VhostUserError) {
        try connection.withLock { connection throws(VhostUserError) in
            _ = try connection.serveBackChannel(by: deadline)
        }
    }

    /// Waits until the back end has executed everything that was sent.
    public func confirm(by deadline: Deadline) throws(VhostUserError) {
        try connection.withLock { connection throws(VhostUserError) in
            _ = try connection.number(.getFeatures, by: deadline)
        }
    }

    /// Sends a request that has no reply of its own.
    func command(
        _ request: VhostUserRequest, _ payload: [UInt8] = [], descriptors: [Int32] = [],
        by deadline: Deadline
    ) throws(VhostUserError) {
        try connection.withLock { connection throws(VhostUserError) in
            try connection.command(request, payload, descriptors: descriptors, by: deadline)
        }
    }

    func require(_ feature: VhostUserProtocolFeatures, _ name: String) throws(VhostUserError) {
        guard protocolFeatures.contains(feature) else { throw .notNegotiated(name) }
    }

    /// Replaces the whole table by at most ``VhostUserOffer/tableLimit`` regions, each with the
    /// descriptor of its file. The back end maps everything anew: its rings must be stopped.
    public func setTable(
        _ regions: [(region: VhostUserRegion, descriptor: Int32)], by deadline: Deadline
    ) throws(VhostUserError) {
        guard regions.count <= VhostUserOffer.tableLimit else {
            throw .tooManyRegions(regions.count, limit: VhostUserOffer.tableLimit)
        }
        let payload = WireWriter { writer in
            writer.append(UInt32(regions.count), 0)
            for entry in regions { entry.region.write(to: &writer) }
        }.bytes
        try command(.setMemoryTable, payload, descriptors: regions.map(\.descriptor), by: deadline)
    }

    /// Adds a region. Its guest addresses must be free in the back end.
    public func add(
        _ region: VhostUserRegion, descriptor: Int32, by deadline: Deadline
    ) throws(VhostUserError) {
        try require(.memorySlots, "CONFIGURE_MEM_SLOTS")
        try command(.addRegion, region.payload, descriptors: [descriptor], by: deadline)
    }

    /// Removes a region that was added, or was in the table, exactly as it was.
    public func remove(_ region: VhostUserRegion, by deadline: Deadline) throws(VhostUserError) {
        try require(.memorySlots, "CONFIGURE_MEM_SLOTS")
        try command(.removeRegion, region.payload, by: deadline)
    }
}

extension VhostUserRegion {
    fileprivate func write(to writer: inout WireWriter) {
        writer.append(
            guestAddress.rawValue, size.rawValue, userAddress.rawValue, fileOffset.rawValue)
    }

    /// The payload of ADD_MEM_REG and REM_MEM_REG, which begins with padding.
    fileprivate var payload: [UInt8] {
        WireWriter {
            $0.append(0 as UInt64)
            write(to: &$0)
        }.bytes
    }
}
