/// A request as a client sent it: envelope read, parameters not yet.
public struct Request: Sendable {
    /// The id to answer with; `nil` for a notification, which is not answered.
    public let id: RequestID?
    /// The method's name.
    public let methodName: String
    /// The method; `nil` where there is none of that name.
    public let method: Method?
    /// `params` as it stands there, of whatever kind; `nil` if left out.
    public let params: JSONValue?

    /// The `vm` that the parameters name, where they name one as a string.
    ///
    /// For the look-up that comes before the parameters are judged.
    public var vmName: String? { params?["vm"]?.string }

    /// The error for a method that there is not.
    public var methodNotFound: ProtocolError {
        let name = shortened(methodName)
        let nearest = nearestName(to: methodName, among: Method.allCases.map(\.rawValue))
        return ProtocolError(
            .methodNotFound,
            "there is no method \"\(name)\"" + (nearest.map { "; did you mean \"\($0)\"?" } ?? ""))
    }
}

/// The id of a request: a string, a number or null, kept exactly as written.
public struct RequestID: Hashable, Sendable {
    /// The JSON text.
    public let rawBytes: [UInt8]

    /// The id of an answer to what has none.
    public static let null = RequestID(rawBytes: Array("null".utf8))

    /// An integer id.
    public init(_ number: Int) { rawBytes = Array(String(number).utf8) }

    init(rawBytes: [UInt8]) { self.rawBytes = rawBytes }
}
