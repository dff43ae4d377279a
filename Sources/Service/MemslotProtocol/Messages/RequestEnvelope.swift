/// The members of a message around its parameters, read strictly.
struct RequestEnvelope {
    private(set) var id: RequestID?
    private(set) var method: JSONValue?
    private(set) var params: JSONValue?
    /// The first fault.
    private(set) var error: ProtocolError?

    private static let names = ["jsonrpc", "id", "method", "params"]

    /// Reads all members, also past a fault, so that the answer can carry the id.
    mutating func read(_ value: JSONValue) {
        guard value.kind == .object else {
            return fail("expected a request, an object, and found \(value.kind)", path: nil)
        }
        var seen: [Bool] = [false, false, false, false]
        for member in value.members {
            guard let index = Self.names.firstIndex(where: { member.isNamed($0) }) else {
                failUnknown(member)
                continue
            }
            if seen[index] {
                fail(
                    "the member \"\(Self.names[index])\" is given twice", path: Self.names[index],
                    .invalidParams)
                // Which of two ids to answer with can't be told.
                if index == 1 { id = .null }
                continue
            }
            seen[index] = true
            take(member.value, of: index)
        }
        if method == nil { fail("the member \"method\" is missing", path: "method") }
    }

    private mutating func take(_ value: JSONValue, of index: Int) {
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
        default:
            params = value
        }
    }

    private mutating func failUnknown(_ member: JSONMember) {
        // A line may have a million of them: only the first is worth its message.
        guard error == nil else { return }
        let name = member.name
        let nearest = nearestName(to: name, among: Self.names)
        fail(
            "a request has no member \"\(shortened(name))\""
                + (nearest.map { "; did you mean \"\($0)\"?" } ?? ""),
            path: pathComponent(name), .invalidParams)
    }

    /// Unknown and repeated members are `invalid-params` here too, as everywhere in a request.
    private mutating func fail(
        _ message: String, path: String?, _ kind: ErrorKind = .invalidRequest
    ) {
        guard error == nil else { return }
        error = ProtocolError(ErrorData(kind, path: path), message: message)
    }
}
