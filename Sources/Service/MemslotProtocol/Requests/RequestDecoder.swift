/// Decodes a client's line into typed commands.
public struct RequestDecoder: Sendable {
    /// How deep containers may nest.
    public var depthLimit: Int
    /// The most requests of a batch. A larger batch is one error.
    public var batchLimit: Int

    /// A decoder with the limits that the wire promises at least.
    public init(depthLimit: Int = 64, batchLimit: Int = 65_536) {
        (self.depthLimit, self.batchLimit) = (depthLimit, batchLimit)
    }

    /// Decodes one line.
    ///
    /// - Parameters:
    ///   - bytes: the buffer that contains the line.
    ///   - range: the line without its `\n`; a `\r` at the end is allowed. All of `bytes` by
    ///     default.
    public func decode(_ bytes: [UInt8], in range: Range<Int>? = nil) -> DecodedLine {
        let root: JSONValue
        do throws(JSONError) {
            root = try JSONDocument(parsing: bytes, in: range, depthLimit: depthLimit).root
        } catch {
            if case .tooDeep = error.problem {
                let message = "the line nests too deep: column \(error.column): \(error.expected)"
                return .single(Request(invalid: .limit("depth", message)))
            }
            let message = "the line is not JSON: column \(error.column): \(error.expected)"
            return .single(Request(invalid: ProtocolError(.parseError, message)))
        }
        guard root.kind == .array else { return .single(Request(root)) }
        let count = root.elements.count
        if count == 0 {
            return .single(Request(invalid: ProtocolError(.invalidRequest, "the batch is empty")))
        }
        if count > batchLimit {
            let message = "the batch has \(count) requests; the limit is \(batchLimit)"
            return .single(Request(invalid: .limit("batch", message)))
        }
        return .batch(root.elements.map { Request($0) })
    }
}

extension Request {
    fileprivate init(invalid error: ProtocolError, id: RequestID = .null) {
        self.init(id: id, vm: nil, command: .failure(.envelope(error)))
    }

    fileprivate init(_ value: JSONValue) {
        var envelope = Envelope()
        envelope.read(value)
        guard let name = envelope.method, envelope.error == nil else {
            let error = envelope.error ?? ProtocolError(.invalidRequest, "there is no method")
            self.init(invalid: error, id: envelope.id ?? .null)
            return
        }
        self.init(
            id: envelope.id, vm: envelope.params?["vm"]?.string,
            command: Self.command(name, envelope.params))
    }

    private static func command(
        _ name: JSONValue, _ params: JSONValue?
    ) -> Result<Command, InvalidRequest> {
        guard let method = Method(name) else {
            return .failure(.method(named: name.string ?? ""))
        }
        do throws(ProtocolError) {
            return .success(try Command(method, params))
        } catch { return .failure(.parameters(error, of: method)) }
    }
}

/// The members of a message around its parameters, read strictly.
private struct Envelope {
    private(set) var id: RequestID?
    /// The method's name, a string where there is no error.
    private(set) var method: JSONValue?
    private(set) var params: JSONValue?
    private(set) var error: ProtocolError?

    private static let names = ["jsonrpc", "id", "method", "params"]

    /// Reads all members, also after a fault, so that the reply can carry the id.
    mutating func read(_ value: JSONValue) {
        guard value.kind == .object else {
            return fail("expected a request, an object, and found \(value.kind)", path: nil)
        }
        var seen: UInt8 = 0
        for member in value.members {
            guard let index = Self.names.firstIndex(where: { member.isNamed($0) }) else {
                failUnknown(member)
                continue
            }
            if seen & 1 << index != 0 {
                fail(
                    "the member \"\(Self.names[index])\" is given twice", path: Self.names[index],
                    .invalidParams)
                // Which of the two ids is meant is unknown.
                if index == 1 { id = .null }
                continue
            }
            seen |= 1 << index
            read(member.value, of: index)
        }
        if method == nil { fail("the member \"method\" is missing", path: "method") }
    }

    private mutating func read(_ value: JSONValue, of index: Int) {
        switch index {
        case 0:
            if !value.isString("2.0") {
                fail("the member \"jsonrpc\" must be \"2.0\"", path: "jsonrpc")
            }
        case 1:
            switch value.kind {
            case .string, .number, .null: id = RequestID(rawBytes: Array(value.rawBytes))
            default: fail("the id must be a string, a number or null", path: "id")
            }
        case 2:
            method = value
            if value.kind != .string {
                fail("the method must be a string, and is \(value.kind)", path: "method")
            }
        default: params = value
        }
    }

    private mutating func failUnknown(_ member: JSONMember) {
        // A line may have a million unknown members; only the first needs its message.
        guard error == nil else { return }
        let name = member.name
        let nearest = nearestName(to: name, among: Self.names)
        fail(
            "a request has no member \"\(shortened(name))\""
                + (nearest.map { "; did you mean \"\($0)\"?" } ?? ""),
            path: pathComponent(name), .invalidParams)
    }

    /// Unknown and repeated members are `invalid-params`, as everywhere in a request.
    private mutating func fail(
        _ message: String, path: String?, _ kind: ErrorKind = .invalidRequest
    ) {
        guard error == nil else { return }
        error = ProtocolError(ErrorData(kind, path: path), message: message)
    }
}
