internal import Glibc
internal import Memslots

/// What a client's line contains.
public enum DecodedLine: Sendable {
    /// One request, or what should have been one.
    case single(Request)
    /// A batch, in order; never empty. Its replies go into one array on one line.
    case batch([Request])

    /// The requests, in order.
    public var requests: [Request] {
        switch self {
        case .single(let request): [request]
        case .batch(let requests): requests
        }
    }
}

/// A request of a client, decoded.
public struct Request: Sendable {
    /// The id of the reply; `nil` for a notification, which gets no reply.
    public let id: RequestID?
    /// The `vm` that the parameters name, valid or not; `nil` where they name none as a string.
    public let vm: String?
    /// The command, or why there is none.
    public let command: Result<Command, InvalidRequest>

    /// The method; `nil` where there is none of that name, or no request.
    public var method: Method? {
        switch command {
        case .success(let command): command.method
        case .failure(.parameters(_, let method)): method
        case .failure: nil
        }
    }

    /// The method's name, also where no method has it; `nil` where the message is no request.
    public var methodName: String? {
        if case .failure(.method(let name)) = command { name } else { method?.rawValue }
    }
}

/// The id of a request: a string, a number or null, kept exactly as written.
public struct RequestID: Hashable, Sendable {
    /// The JSON text.
    public let rawBytes: [UInt8]

    /// The id of a reply to a message whose id is unknown.
    public static let null = RequestID(rawBytes: Array("null".utf8))

    /// An integer id.
    public init(_ number: Int) { rawBytes = Array(String(number).utf8) }
    init(rawBytes: [UInt8]) { self.rawBytes = rawBytes }
}

/// Why a request is invalid.
public enum InvalidRequest: Error, Hashable, Sendable {
    /// The message is no request. Its reply has the id `null` where the id is unknown.
    case envelope(ProtocolError)
    /// No method has this name.
    case method(named: String)
    /// The parameters don't fit the method.
    ///
    /// The service checks first whether the VM exists, and whether it has failed.
    case parameters(ProtocolError, of: Method)

    /// The error of the reply.
    public var error: ProtocolError {
        switch self {
        case .envelope(let error), .parameters(let error, _): error
        case .method(let name): Self.methodNotFound(name)
        }
    }

    private static func methodNotFound(_ name: String) -> ProtocolError {
        let nearest = nearestName(to: name, among: Method.allCases.map(\.rawValue))
        let hint =
            name.hasSuffix("Attributes")
            ? ", nor another for it: \(Method.noAttributes)"
            : nearest.map { "; did you mean \"\($0)\"?" } ?? ""
        return ProtocolError(.methodNotFound, "there is no method \"\(shortened(name))\"\(hint)")
    }
}

/// The file descriptors that are passed with one line.
///
/// A request claims the descriptor that it names. Descriptors that nobody claims are closed with
/// this object.
public final class PassedDescriptors: Sendable {
    private let descriptors: Locked<[Int32?]>
    /// What counts the descriptors, for as long as this object lives.
    package let charges: [any Sendable]

    /// No descriptors.
    public static let none = PassedDescriptors([])

    /// Adopts `descriptors`, in the order in which they were passed. A negative number represents one
    /// that was refused.
    public convenience init(_ descriptors: [Int32]) { self.init(descriptors, charges: []) }

    package init(_ descriptors: [Int32], charges: [any Sendable]) {
        self.descriptors = Locked(descriptors.map { $0 })
        self.charges = charges
    }

    deinit {
        for case let descriptor? in descriptors.withLock({ $0 }) where descriptor >= 0 {
            close(descriptor)
        }
    }

    /// Transfers the descriptor number `index` of the line to the caller.
    ///
    /// - Returns: `nil` if there is none, or it has been claimed.
    public func claim(_ index: Int) -> Int32? {
        descriptors.withLock { descriptors in
            guard descriptors.indices.contains(index) else { return nil }
            defer { descriptors[index] = nil }
            return descriptors[index]
        }
    }

    /// Transfers all descriptors that are left to the caller.
    public func claimAll() -> [Int32] {
        descriptors.withLock { descriptors in
            defer { descriptors = [] }
            return descriptors.compactMap { $0 }
        }
    }

    /// The descriptors that are left, which stay this object's.
    package var open: [Int32] { descriptors.withLock { $0.compactMap { $0 } } }
}
