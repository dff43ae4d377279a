internal import CLinux
internal import Glibc
public import MemslotProtocol

/// A client's end of a connection to a daemon: lines and descriptors, both ways.
///
/// Blocking, and for one thread at a time.
public struct ClientConnection: ~Copyable {
    /// A line that came, and what came with it.
    public struct Received: Sendable {
        /// The line without its end.
        public let line: [UInt8]
        /// The descriptors; those that nobody claims are closed with this.
        public let descriptors: PassedDescriptors
    }

    package let socket: Int32
    private var buffer: LineBuffer
    private var lastID = 0
    private var notifications: [Received] = []

    /// The longest line that is taken: a daemon's answer may be longer than any request.
    private static let lineLimit = 1 << 30

    /// Connects to the socket at `path`.
    ///
    /// - Throws: why not, as a sentence.
    public init(_ path: SocketPath) throws(TargetLost) {
        let socket = clinux_stream_socket()
        guard socket >= 0 else {
            throw TargetLost("no socket can be made: \(Self.name(-socket))")
        }
        let status = clinux_connect(socket, path.path)
        guard status == 0 else {
            close(socket)
            throw TargetLost("\(path.path): \(Self.reason(-status))")
        }
        self.init(takingOver: socket)
    }

    /// Speaks over a socket that is connected already, and closes it.
    public init(takingOver socket: Int32) {
        self.socket = socket
        buffer = LineBuffer(
            lineLimit: Self.lineLimit, descriptorLimit: Int(CLINUX_DESCRIPTORS))
    }

    deinit { close(socket) }

    /// Sends bytes as they are; `descriptors` go with the first of them, and stay the caller's.
    ///
    /// A line that carries descriptors must be sent by itself.
    public func send(_ bytes: [UInt8], descriptors: [Int32] = []) throws(TargetLost) {
        guard DescriptorIO.send(bytes, descriptors: descriptors, to: socket, isSocket: true) else {
            throw TargetLost("the server has closed the connection")
        }
    }

    /// Says that nothing more will be sent; answers can still be read.
    public func endSending() { shutdown(socket, Int32(SHUT_WR)) }

    /// Waits for the next line, a response or a notification; `nil` once the server has closed.
    public mutating func receive() throws(TargetLost) -> Received? {
        while true {
            do throws(LineBuffer.LineTooLong) {
                if let line = try buffer.next() {
                    return Received(
                        line: Array(buffer.bytes[line.range]), descriptors: line.descriptors)
                }
            } catch {
                throw TargetLost("the server sent a line without end")
            }
            let count = DescriptorIO.receive(from: socket, isSocket: true, into: &buffer)
            if count == 0 { return nil }
            // What a peer that is gone has sent was read before.
            if count == -Int(ECONNRESET) { return nil }
            if count < 0 { throw TargetLost("can't read: \(Self.name(Int32(-count)))") }
        }
    }

    /// Sends a request, and waits for its response; notifications that come first are kept for
    /// ``nextNotification()``.
    ///
    /// - Parameters:
    ///   - method: the method's name.
    ///   - params: JSON text; `nil` to leave it out.
    ///   - descriptors: sent with the request; they stay the caller's.
    public mutating func call(
        _ method: String, params: [UInt8]? = nil, descriptors: [Int32] = []
    ) throws(TargetLost) -> Received {
        lastID += 1
        var writer = JSONWriter()
        writer.request(method: method, id: RequestID(lastID), params: params)
        return try ask(writer.finish(), descriptors: descriptors)
    }

    /// Sends a line that is a request, its end included, and waits for the response.
    ///
    /// A server that has closed the connection has said why before: that is the response then.
    public mutating func ask(
        _ line: [UInt8], descriptors: [Int32] = []
    ) throws(TargetLost) -> Received {
        do throws(TargetLost) {
            try send(line, descriptors: descriptors)
        } catch {
            while let received = try receive() {
                if !received.isNotification { return received }
            }
            throw error
        }
        return try response()
    }

    /// Waits for the next response.
    public mutating func response() throws(TargetLost) -> Received {
        while let received = try receive() {
            if !received.isNotification { return received }
            notifications.append(received)
        }
        throw TargetLost("the server closed the connection without an answer")
    }

    /// Lets go of the notifications that came before the last response.
    ///
    /// A snapshot that was asked for anew holds what they tell: they are older than it.
    public mutating func forgetNotifications() { notifications = [] }

    /// The next notification, waited for if none has come yet; `nil` once the server has closed.
    public mutating func nextNotification() throws(TargetLost) -> Received? {
        if !notifications.isEmpty { return notifications.removeFirst() }
        while let received = try receive() {
            if received.isNotification { return received }
        }
        return nil
    }

    private static func reason(_ number: Int32) -> String {
        switch number {
        case ENOENT: "there is no daemon: the socket does not exist (start memslotd)"
        case ECONNREFUSED: "no daemon listens there any more (start memslotd)"
        case EACCES: "this user may not connect"
        default: "can't connect: \(name(number))"
        }
    }

    private static func name(_ number: Int32) -> String { String(cString: strerror(number)) }
}

extension ClientConnection.Received {
    /// The line as JSON; `nil` if it is none.
    package var value: JSONValue? {
        do throws(JSONError) { return try JSONDocument(parsing: line).root } catch { return nil }
    }

    /// Whether the server sent it unasked.
    public var isNotification: Bool { value?["method"] != nil }
}

/// The other side is gone.
public struct TargetLost: Error, Hashable, Sendable {
    /// A sentence that says what happened.
    public var message: String

    /// Says `message`.
    public init(_ message: String) { self.message = message }
}
