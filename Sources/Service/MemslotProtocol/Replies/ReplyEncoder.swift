/// Encodes the replies to a line, each straight into the line that is sent. There is one of it, so that
/// its text of megabytes is never copied.
public struct ReplyEncoder: ~Copyable, Sendable {
    private var writer: JSONWriter
    /// The descriptors that go with the line. They are closed with the encoder unless claimed.
    public private(set) var descriptors: PassedDescriptors

    /// An encoder without replies.
    public init() { self.init(JSONWriter()) }

    package init(_ writer: JSONWriter, descriptors: PassedDescriptors = .none) {
        (self.writer, self.descriptors) = (writer, descriptors)
    }

    /// How many bytes are encoded; 0 where the line gets no reply.
    public var count: Int { writer.count }

    /// How many bytes fit without more memory.
    package var capacity: Int { writer.capacity }

    /// Makes room for `bytes` more, so that encoding them allocates nothing.
    package mutating func reserve(_ bytes: Int) { writer.reserve(bytes) }

    /// Begins the replies to a batch.
    public mutating func beginBatch() { writer.beginArray() }

    /// Ends the replies to a batch. A batch of notifications gets no reply.
    public mutating func endBatch() {
        if writer.count > 1 { writer.endArray() } else { writer.removeAll() }
    }

    /// Encodes the reply to a command that was executed.
    public mutating func encode(_ reply: Reply, id: RequestID) {
        writer.beginResponse(id: id, "result")
        if case .exported(let memory, let size, let descriptor) = reply {
            let own = descriptors.claimAll()
            writer.exported(memory, size, index: own.count)
            descriptors = PassedDescriptors(
                own + descriptor.claimAll(), charges: descriptors.charges + descriptor.charges)
        } else {
            writer.reply(reply)
        }
        writer.endObject()
    }

    /// Encodes the reply to a request that is refused. Its id is ``RequestID/null`` where the
    /// request's id is unknown.
    public mutating func encode(_ error: ProtocolError, id: RequestID) {
        writer.beginResponse(id: id, "error")
        writer.error(error)
        writer.endObject()
    }

    /// Encodes the same error for each request of a line, but an invalid request gets its own.
    package mutating func encode(_ error: ProtocolError, forEachOf line: DecodedLine) {
        if case .batch = line { beginBatch() }
        for request in line.requests { encode(error, for: request) }
        if case .batch = line { endBatch() }
    }

    /// Encodes `error` for a request that is not executed, but an invalid one gets its own.
    package mutating func encode(_ error: ProtocolError, for request: Request) {
        guard let id = request.id else { return }
        if case .failure(.envelope(let own)) = request.command {
            encode(own, id: id)
        } else {
            encode(error, id: id)
        }
    }

    /// The line without its end.
    public consuming func finish() -> [UInt8] { writer.finish() }

    /// The line with its end.
    package consuming func finishLine() -> [UInt8] {
        writer.newLine()
        return writer.finish()
    }

    /// Calls `body` with the line without its end, which must not be kept.
    package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        writer.withBytes(body)
    }
}
