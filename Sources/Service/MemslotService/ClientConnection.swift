internal import CLinux
internal import Glibc
public import MemslotProtocol

/// A client's connection to a daemon, which sends and receives lines and descriptors.
///
/// Every call blocks. Use a connection from one thread at a time.
public struct ClientConnection: ~Copyable {
    /// A line that the daemon sent, with its descriptors.
    public struct Received: Sendable {
        /// The line without its end.
        public let line: [UInt8]
        /// The descriptors. Those that are not claimed are closed with this value.
        public let descriptors: PassedDescriptors
    }

    package let socket: Int32
    private var buffer: LineBuffer
    private var lastID = 0
    private var notifications: [Received] = []

    /// The longest line that is accepted. A reply may be longer than any request.
    private static let lineLimit = 1 << 30

    /// Connects to the daemon's socket at `path`.
    ///
    /// The daemon must run as root or as this process's user; or its user owns the socket's
    /// directory, and every directory above belongs to root and is writable by root alone.
    ///
    /// - Parameters:
    ///   - path: where the daemon listens.
    ///   - serverUser: one more user as whom the daemon may run, wherever the socket is.
    /// - Throws: if no daemon listens there, this user may not connect, or the daemon runs as
    ///   another user.
    public init(_ path: SocketPath, serverUser: UInt32? = nil) throws(TargetLost) {
        self.init(adopting: try TrustedServer(path: path, permitted: serverUser).connect())
    }

    /// Adopts a connected socket, and closes it at the end.
    public init(adopting socket: Int32) {
        self.socket = socket
        buffer = LineBuffer(lineLimit: Self.lineLimit, descriptorLimit: Int(CLINUX_DESCRIPTORS))
    }

    deinit { close(socket) }

    /// Sends bytes as they are.
    ///
    /// - Parameters:
    ///   - bytes: one or more lines, each with its end. A line with descriptors must be sent alone.
    ///   - descriptors: sent with the first byte; they stay the caller's.
    /// - Throws: if the daemon has closed the connection.
    public func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws(TargetLost) {
        guard DescriptorIO.send(bytes, descriptors: descriptors, to: socket, isSocket: true) else {
            throw TargetLost("the server has closed the connection")
        }
    }

    /// Ends the sending direction; replies can still be received.
    public func endSending() { shutdown(socket, Int32(SHUT_WR)) }

    /// Waits for the next line, which is a reply or a notification.
    ///
    /// - Returns: `nil` if the daemon has closed the connection.
    /// - Throws: if the socket can't be read, or a line is longer than 1 GiB.
    public mutating func receive() throws(TargetLost) -> Received? {
        while true {
            do throws(LineBuffer.LineTooLong) {
                if let line = try buffer.next() {
                    return Received(
                        line: Array(buffer.bytes[line.range]), descriptors: line.descriptors)
                }
            } catch { throw TargetLost("the server sent a line without an end") }
            let count = DescriptorIO.receive(from: socket, isSocket: true, into: &buffer)
            if count == 0 { return nil }
            // Everything that the daemon sent before was received.
            if count == -Int(ECONNRESET) { return nil }
            if count < 0 { throw TargetLost("can't read: \(Self.name(Int32(-count)))") }
        }
    }

    /// Sends a request, and waits for its reply. ``nextNotification()`` returns the notifications
    /// that arrive before it.
    ///
    /// - Parameters:
    ///   - method: the method.
    ///   - params: JSON text; `nil` for none.
    ///   - descriptors: sent with the request; they stay the caller's.
    /// - Returns: the reply, which may contain an error.
    /// - Throws: if the connection ends before the reply.
    public mutating func call(
        _ method: Method, params: [UInt8]? = nil, descriptors: [Int32] = []
    ) throws(TargetLost) -> Received {
        lastID += 1
        var writer = JSONWriter()
        writer.request(method: method.rawValue, id: RequestID(lastID), params: params)
        return try exchange(writer.finish(), descriptors: descriptors)
    }

    /// Sends a line with its end, and waits for the reply, also the error of a daemon that closes
    /// the connection.
    package mutating func exchange(
        _ line: [UInt8], descriptors: [Int32] = []
    ) throws(TargetLost) -> Received {
        do throws(TargetLost) {
            try send(line, descriptors: descriptors)
        } catch {
            while let received = try receive() { if !received.isNotification { return received } }
            throw error
        }
        return try nextReply()
    }

    /// Waits for the next reply, after ``send(_:descriptors:)``.
    ///
    /// - Throws: if the connection ends before it.
    public mutating func nextReply() throws(TargetLost) -> Received {
        while let received = try receive() {
            if !received.isNotification { return received }
            notifications.append(received)
        }
        throw TargetLost("the server closed the connection without a reply")
    }

    /// Discards the notifications that arrived before the last reply.
    ///
    /// Call it after a repeated `events.subscribe`: the new snapshot contains what they report.
    public mutating func discardNotifications() { notifications = [] }

    /// Waits for the next notification.
    ///
    /// - Returns: `nil` if the daemon has closed the connection.
    /// - Throws: as ``receive()``.
    public mutating func nextNotification() throws(TargetLost) -> Received? {
        if !notifications.isEmpty { return notifications.removeFirst() }
        while let received = try receive() { if received.isNotification { return received } }
        return nil
    }

    static func name(_ number: Int32) -> String { String(cString: strerror(number)) }
}

extension ClientConnection.Received {
    /// The line as JSON; `nil` if it is not JSON.
    package var value: JSONValue? {
        do throws(JSONError) { return try JSONDocument(parsing: line).root } catch { return nil }
    }

    /// A Boolean value that indicates whether the line is a notification.
    public var isNotification: Bool { value?["method"] != nil }
}

/// A connection could not be made, or has ended.
public struct TargetLost: Error, Hashable, Sendable, CustomStringConvertible {
    /// A sentence that describes what happened.
    public let message: String
    /// The server's user, where that is why the connection was not made.
    package internal(set) var foreignServer: UInt32?

    /// The message.
    public var description: String { message }

    /// The errno of the connection that was not made; else 0.
    package let errno: Int32

    /// A Boolean value that indicates whether no daemon listens there.
    package var isNobody: Bool { errno == ENOENT || errno == ECONNREFUSED }

    package init(_ message: String, connecting errno: Int32 = 0) {
        (self.message, self.errno) = (message, errno)
    }
}
