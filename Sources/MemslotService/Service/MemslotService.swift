public import MemslotProtocol
internal import Memslots
internal import Synchronization

/// VMs by name, and the methods of the wire protocol on them.
///
/// It knows no socket: a request comes in parsed, and its answer goes out as bytes. The daemon's
/// connections, a scenario's replay and an embedding VMM all call it the same way. Call from any
/// thread; requests of one VM are carried out in the order in which they are called.
public final class MemslotService: Sendable {
    /// How much is taken and kept.
    public let limits: ServiceLimits
    let takesRawAddresses: Bool
    let registry = Mutex(VMRegistry())

    /// A service without VMs.
    ///
    /// - Parameters:
    ///   - limits: how much is taken and kept.
    ///   - takesRawAddresses: whether slots of KVM VMs may name addresses of this process. Only
    ///     where every peer is this process: else a peer could map the service's own memory into
    ///     its guest.
    public init(limits: ServiceLimits = ServiceLimits(), takesRawAddresses: Bool = false) {
        self.limits = limits
        self.takesRawAddresses = takesRawAddresses
    }

    /// Carries a request out, and writes its response; nothing for a notification.
    ///
    /// - Parameters:
    ///   - message: what a line was parsed into.
    ///   - peer: who sent it.
    ///   - writer: takes one line without its end.
    public func answer(
        _ message: IncomingMessage, from peer: Peer, into writer: inout JSONWriter
    ) {
        switch message {
        case .single(let request): answer(request, from: peer, into: &writer)
        case .batch(let requests):
            // A batch of notifications alone is not answered, not even by an empty array.
            var answers = JSONWriter()
            answers.beginArray()
            let opened = answers.bytes.count
            for request in requests { answer(request, from: peer, into: &answers) }
            guard answers.bytes.count > opened else { return }
            answers.endArray()
            writer.raw(answers.bytes)
        }
    }

    private func answer(
        _ incoming: IncomingRequest, from peer: Peer, into writer: inout JSONWriter
    ) {
        switch incoming {
        case .invalid(let error, let id): writer.errorResponse(error, id: id)
        case .request(let request):
            do throws(ProtocolError) {
                let result = try carryOut(request, from: peer)
                guard let id = request.id else { return }
                writer.beginResult(id: id)
                writer.raw(result)
                writer.endResult()
            } catch {
                guard let id = request.id else { return }
                writer.errorResponse(error, id: id)
            }
        }
    }

    /// Carries a request out.
    ///
    /// - Returns: the JSON text of `result`.
    /// - Throws: the error to answer with; nothing has taken effect then.
    public func carryOut(_ request: Request, from peer: Peer) throws(ProtocolError) -> [UInt8] {
        guard let method = request.method else { throw request.methodNotFound }
        if peer.role == .readOnly && !method.isReading {
            throw ProtocolError(
                .notPermitted, "\(method.rawValue) changes something; this peer may only look")
        }
        var writer = JSONWriter()
        try carryOut(method, request, from: peer, into: &writer)
        return writer.bytes
    }
}
