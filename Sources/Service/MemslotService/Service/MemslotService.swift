internal import Glibc
public import MemslotProtocol
public import Memslots

/// VMs by name, and the methods of the wire protocol on them.
///
/// It knows no socket: a request comes in parsed, and its answer goes out as bytes. The daemon's
/// connections, a scenario's replay and an embedding VMM all call it the same way. Call from any
/// thread; requests of one VM are carried out in the order in which they are called.
public final class MemslotService: Sendable {
    /// How much is taken and kept.
    public let limits: ServiceLimits
    let takesRawAddresses: Bool
    let registry = Locked(VMRegistry())
    let backends: BackendFactory
    let audience = TableAudience()
    /// Where VMs are kept; `nil` to keep none.
    let state: StateStore?

    /// A service without VMs.
    ///
    /// - Parameters:
    ///   - limits: how much is taken and kept.
    ///   - takesRawAddresses: whether slots of KVM VMs may name addresses of this process. Only
    ///     where every peer is this process: else a peer could map the service's own memory into
    ///     its guest.
    ///   - kvmDevice: the path of KVM's device. Opened when it is first needed.
    ///   - state: where VMs are kept beyond the end of this process; call ``restore()`` first then.
    ///     `nil` to keep none.
    public init(
        limits: ServiceLimits = ServiceLimits(), takesRawAddresses: Bool = false,
        kvmDevice: String = "/dev/kvm", state: StateStore? = nil
    ) {
        self.state = state
        self.backends = BackendFactory(device: kvmDevice)
        self.limits = limits
        self.takesRawAddresses = takesRawAddresses
    }

    /// Carries a request out, and writes its response; nothing for a notification.
    ///
    /// The answer of `events.subscribe` has the snapshot; events that come after it may be in the
    /// connection's queue before this returns, and are to be sent after the answer.
    ///
    /// - Parameters:
    ///   - message: what a line was parsed into.
    ///   - connection: where it came from.
    ///   - descriptors: what came with the line.
    ///   - writer: takes one line without its end.
    /// - Returns: descriptors to send with the answer, which the caller closes once it has; none
    ///   where nothing is answered.
    @discardableResult
    public func answer(
        _ message: IncomingMessage, on connection: ServiceConnection,
        descriptors: PassedDescriptors = PassedDescriptors(), into writer: inout JSONWriter
    ) -> [Int32] {
        var exchange = Exchange(connection: connection, descriptors: descriptors)
        switch message {
        case .single(let request): answer(request, &exchange, into: &writer)
        case .batch(let requests):
            // A batch of notifications alone is not answered, not even by an empty array.
            var answers = JSONWriter()
            answers.beginArray()
            let opened = answers.count
            for request in requests {
                if answers.count > limits.batchAnswerBytes {
                    refuseRest(request, into: &answers)
                } else {
                    answer(request, &exchange, into: &answers)
                }
            }
            if answers.count > opened {
                answers.endArray()
                writer.raw(answers.bytes)
            }
        }
        return exchange.outgoing
    }

    /// Tells `observer` what the table of every VM says, for a log.
    ///
    /// There is one observer; another takes its place.
    ///
    /// - Parameter observer: called with the event, the VM's name and its user, in order for each
    ///   VM, inside its transactions: must be short, and neither wait nor call the service.
    public func observeTables(
        _ observer: @escaping @Sendable (_ event: TableEvent, _ vm: String, _ user: UInt32) -> Void
    ) {
        audience.set(observer)
    }

    /// Ends a connection: its ephemeral VMs go, and nothing is sent to it any more.
    public func end(_ connection: ServiceConnection) {
        let ended = registry.withLock { $0.end(connection.peer) }
        // The VMs go outside the lock: their memory is unmapped now.
        _ = consume ended
    }

    /// Answers what comes after a batch's answer has grown too long: a short batch can ask for
    /// more than there is memory.
    private func refuseRest(_ incoming: IncomingRequest, into writer: inout JSONWriter) {
        let limit = ProtocolError.limit(
            "batchAnswerBytes",
            "the answers of this batch have over \(limits.batchAnswerBytes) bytes already; "
                + "send the rest by itself")
        switch incoming {
        case .invalid(let error, let id): writer.errorResponse(error, id: id)
        case .request(let request):
            if let id = request.id { writer.errorResponse(limit, id: id) }
        }
    }

    private func answer(
        _ incoming: IncomingRequest, _ exchange: inout Exchange, into writer: inout JSONWriter
    ) {
        let metrics = registry.withLock { $0.account(of: exchange.peer.user) }.metrics
        metrics.add(.requests)
        switch incoming {
        case .invalid(let error, let id):
            metrics.add(.errors)
            writer.errorResponse(error, id: id)
        case .request(let request):
            let attached = exchange.outgoing.count
            do throws(ProtocolError) {
                let result = try carryOut(request, &exchange)
                guard let id = request.id else {
                    // There is no answer that descriptors could go with.
                    exchange.closeOutgoing(from: attached)
                    return
                }
                writer.beginResult(id: id)
                writer.raw(result)
                writer.endResult()
            } catch {
                metrics.add(.errors)
                guard let id = request.id else { return }
                writer.errorResponse(error, id: id)
            }
        }
    }

    /// Carries a request out.
    ///
    /// - Returns: the JSON text of `result`.
    /// - Throws: the error to answer with; nothing has taken effect then.
    private func carryOut(
        _ request: Request, _ exchange: inout Exchange
    ) throws(ProtocolError) -> [UInt8] {
        guard let method = request.method else { throw request.methodNotFound }
        if exchange.peer.role == .readOnly && !method.isReading {
            throw ProtocolError(
                .notPermitted, "\(method.rawValue) changes something; this peer may only look")
        }
        var writer = JSONWriter()
        try carryOut(method, request, &exchange, into: &writer)
        return writer.finish()
    }
}

/// What belongs to the carrying out of one line: who sent it, and descriptors both ways.
struct Exchange {
    let connection: ServiceConnection
    let descriptors: PassedDescriptors
    /// To send with the answer.
    var outgoing: [Int32] = []

    init(connection: ServiceConnection, descriptors: PassedDescriptors) {
        self.connection = connection
        self.descriptors = descriptors
    }

    var peer: Peer { connection.peer }

    /// Closes what was to go with an answer that is not given.
    mutating func closeOutgoing(from first: Int) {
        for descriptor in outgoing[first...] { close(descriptor) }
        outgoing.removeSubrange(first...)
    }
}
