internal import Glibc
internal import MemslotProtocol

extension Connection {
    /// Bytes of a line, either way, whose memory is given back once nothing is under way.
    private static let muchMemory = 1 << 20

    /// Reads a line.
    func parse(_ bytes: [UInt8], in range: Range<Int>? = nil) -> IncomingMessage {
        let limits = surroundings.service.limits
        if (range ?? bytes.indices).count >= Self.muchMemory { surroundings.watch.noteMuchMemory() }
        return IncomingMessage(
            parsing: bytes, in: range, depthLimit: limits.depth, batchLimit: limits.batch)
    }

    /// Carries a line out, and puts its answer where it is sent from.
    func answer(
        _ message: IncomingMessage, _ descriptors: PassedDescriptors, hasBadDescriptors: Bool
    ) {
        if let error = refusal(of: message, hasBadDescriptors: hasBadDescriptors) {
            return refuse(message, error)
        }
        // The snapshot that a subscription is answered with comes before any event.
        let subscribes = message.contains(.eventsSubscribe)
        if subscribes { sender.holdEvents() }
        var writer = JSONWriter()
        let outgoing = surroundings.service.answer(
            message, on: peer, descriptors: descriptors, into: &writer)
        if writer.count >= Self.muchMemory { surroundings.watch.noteMuchMemory() }
        if message.contains(.eventsUnsubscribe) { sender.putEvents() }
        if writer.count > 0 {
            // Given away: where two hold an answer of megabytes, its last byte copies it.
            sender.put(consume writer, descriptors: outgoing)
        }
        if subscribes { sender.releaseEvents() }
    }

    /// Why a line is not carried out at all.
    private func refusal(
        of message: IncomingMessage, hasBadDescriptors: Bool
    ) -> ProtocolError? {
        if surroundings.isStopping.isSet {
            return .shuttingDown
        }
        let limit = surroundings.service.limits.descriptors
        if hasBadDescriptors {
            return ProtocolError(
                ErrorData(.limitExceeded, limit: "descriptors"),
                message: "more than \(limit) descriptors came with the line, or the server has "
                    + "no room for them; all were closed")
        }
        if message.count(.memoryExport) > limit {
            return ProtocolError(
                ErrorData(.limitExceeded, limit: "descriptors"),
                message: "at most \(limit) descriptors are sent with an answer; "
                    + "ask for fewer in a batch")
        }
        return nil
    }

    /// Answers each request of a line with `error`.
    func refuse(_ message: IncomingMessage, _ error: ProtocolError) {
        var writer = JSONWriter()
        switch message {
        case .single(let request):
            writer.refusal(of: request, error)
        case .batch(let requests):
            var answers = JSONWriter()
            answers.beginArray()
            let opened = answers.count
            for request in requests { answers.refusal(of: request, error) }
            guard answers.count > opened else { return }
            answers.endArray()
            writer = answers
        }
        if writer.count > 0 { sender.put(consume writer, descriptors: []) }
    }

    /// Answers what is no request.
    func refuse(_ error: ProtocolError) {
        var writer = JSONWriter()
        writer.errorResponse(error, id: .null)
        sender.put(consume writer, descriptors: [])
    }
}

extension ProtocolError {
    /// The answer to what comes after the server was told to end.
    static let shuttingDown = ProtocolError(
        .shuttingDown, "the server is shutting down and takes no more requests")
}

extension JSONWriter {
    /// Answers a request that is not carried out; nothing for a notification.
    fileprivate mutating func refusal(of request: IncomingRequest, _ error: ProtocolError) {
        switch request {
        case .invalid(let own, let id): errorResponse(own, id: id)
        case .request(let request):
            if let id = request.id { errorResponse(error, id: id) }
        }
    }
}
