/// What one line of a client is.
public enum IncomingMessage: Sendable {
    /// One request, or what should have been one.
    case single(IncomingRequest)
    /// A batch, in order; never empty. Its answers go into one array on one line.
    case batch([IncomingRequest])

    /// Reads one line.
    ///
    /// - Parameters:
    ///   - bytes: the buffer that the line is in; it is kept while values of the request are.
    ///   - range: the line without its `\n`; a `\r` at the end is fine. All of `bytes` by default.
    ///   - depthLimit: the most containers within one another.
    ///   - batchLimit: the most requests of a batch; a larger one is one error.
    public init(
        parsing bytes: [UInt8], in range: Range<Int>? = nil, depthLimit: Int = 64,
        batchLimit: Int = 65_536
    ) {
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes, in: range, depthLimit: depthLimit).root
        } catch {
            let message = "the line is not JSON: column \(error.column): \(error.expected)"
            self = .single(.invalid(ProtocolError(.parseError, message), id: .null))
            return
        }
        guard root.kind == .array else {
            self = .single(IncomingRequest(root))
            return
        }
        let elements = root.elements
        let count = elements.count
        if count == 0 {
            let error = ProtocolError(.invalidRequest, "the batch is empty")
            self = .single(.invalid(error, id: .null))
        } else if count > batchLimit {
            let error = ProtocolError(
                ErrorData(.limitExceeded, limit: "batch"),
                message: "the batch has \(count) requests; at most \(batchLimit) are taken")
            self = .single(.invalid(error, id: .null))
        } else {
            self = .batch(elements.map { IncomingRequest($0) })
        }
    }
}

/// A request, or why it is none.
public enum IncomingRequest: Sendable {
    /// A well-formed envelope.
    case request(Request)
    /// No request; answered with `id`, which is null where it can't be told.
    case invalid(ProtocolError, id: RequestID)

    /// Reads an envelope.
    init(_ value: JSONValue) {
        var envelope = RequestEnvelope()
        envelope.read(value)
        if let error = envelope.error {
            self = .invalid(error, id: envelope.id ?? .null)
        } else {
            let name = envelope.method
            self = .request(
                Request(
                    id: envelope.id, methodName: name?.string ?? "",
                    method: name.flatMap(Method.init), params: envelope.params))
        }
    }
}
