internal import MemslotProtocol

extension Connection {
    /// A line of this many bytes, either way, makes the process release memory when it is idle.
    private static let muchMemory = 1 << 20

    /// Decodes a line.
    func decode(_ bytes: [UInt8], in range: Range<Int>? = nil) -> DecodedLine {
        if (range ?? bytes.indices).count >= Self.muchMemory {
            surroundings.watch.recordMuchMemory()
        }
        return decoder.decode(bytes, in: range)
    }

    /// Executes a line, and gives its response to the sender.
    func execute(
        _ line: DecodedLine, _ descriptors: PassedDescriptors, hasBadDescriptors: Bool
    ) {
        if let error = refusal(of: line, hasBadDescriptors: hasBadDescriptors) {
            return refuse(line, error)
        }
        // The snapshot in the response to a subscription comes before any event.
        let subscribes = line.count(of: .eventsSubscribe) > 0
        if subscribes { sender.holdEvents() }
        let replies = surroundings.service.execute(line, on: peer, descriptors: descriptors)
        if replies.count >= Self.muchMemory { surroundings.watch.recordMuchMemory() }
        if line.count(of: .eventsUnsubscribe) > 0 { sender.putEvents() }
        // Consumed: with a second reference to megabytes, appending the line's end would copy them.
        if replies.count > 0 { sender.put(consume replies) }
        if subscribes { sender.releaseEvents() }
    }

    /// Why no request of a line is executed.
    private func refusal(of line: DecodedLine, hasBadDescriptors: Bool) -> ProtocolError? {
        if surroundings.isStopping.isSet { return .shuttingDown }
        let limit = surroundings.service.limits.descriptors
        if hasBadDescriptors {
            return ProtocolError(
                ErrorData(.limitExceeded, limit: "descriptors"),
                message: "more than \(limit) descriptors came with the line, or the server has "
                    + "no room for them; all were closed")
        }
        if line.count(of: .memoryExport) > limit {
            return ProtocolError(
                ErrorData(.limitExceeded, limit: "descriptors"),
                message: "at most \(limit) descriptors are sent with one line; "
                    + "ask for fewer in a batch")
        }
        return nil
    }

    /// Responds to each request of a line with `error`.
    func refuse(_ line: DecodedLine, _ error: ProtocolError) {
        var encoder = ReplyEncoder()
        encoder.encode(error, forEachOf: line)
        if encoder.count > 0 { sender.put(consume encoder) }
    }

    /// Responds to a line that was not decoded.
    func refuse(_ error: ProtocolError) {
        var encoder = ReplyEncoder()
        encoder.encode(error, id: .null)
        sender.put(consume encoder)
    }
}

extension ProtocolError {
    /// The error of a request that comes after the server was stopped.
    static let shuttingDown = ProtocolError(
        .shuttingDown, "the server is shutting down and accepts no more requests")
}
