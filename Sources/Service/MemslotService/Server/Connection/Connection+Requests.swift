internal import MemslotProtocol
internal import Memslots

extension Connection {
    /// A line of this many bytes, either way, makes the process release memory when it is idle.
    private static let muchMemory = 1 << 20

    /// The requests whose events follow their replies.
    private static let committing: [Method] = [.memslotsSubmit, .vmRecover, .vmDestroy]

    /// Decodes a line. Returns the requests, and what counts their memory. Throws if there is none.
    func decode(
        _ bytes: [UInt8], in range: Range<Int>? = nil
    ) throws(ProtocolError) -> (DecodedLine, BudgetCharge?) {
        let range = range ?? bytes.indices
        if range.count >= Self.muchMemory { surroundings.watch.recordMuchMemory() }
        let charge = try RequestCost.charge(
            bytes[range], batchLimit: decoder.batchLimit, to: peer.peer.user,
            of: surroundings.service.budgets.requestBytes)
        return withExtendedLifetime(charge.parsed) {
            (decoder.decode(bytes, in: range), charge.decoded)
        }
    }

    /// Executes a line, and gives its reply to the sender.
    func execute(_ line: DecodedLine, _ descriptors: PassedDescriptors, hasBadDescriptors: Bool) {
        if let error = refusal(of: line, hasBadDescriptors: hasBadDescriptors) {
            return refuse(line, error)
        }
        // The snapshot in the reply to a subscription comes before any event.
        let subscribes = line.count(of: .eventsSubscribe) > 0
        if subscribes { sender.holdEvents() }
        let commits = Self.committing.contains { line.count(of: $0) > 0 }
        if commits { sender.beginCommit() }
        var room = Sender.Room()
        if case .batch = line {
            // Before any of it is executed: a batch that waits half-way would keep others waiting.
            let limits = surroundings.service.limits
            // While the replies grow, there are two copies of them.
            room = sender.reserve(2 * limits.batchAnswerBytes + limits.replyBytes)
        }
        let replies = surroundings.service.respond(
            to: line, on: peer, descriptors: descriptors,
            reserve: { room = self.sender.reserve($0) })
        if replies.count >= Self.muchMemory { surroundings.watch.recordMuchMemory() }
        if line.count(of: .eventsUnsubscribe) > 0 { sender.enqueueEvents() }
        // Consumed: with a second reference to megabytes, appending the line's end would copy them.
        sender.enqueue(consume replies, room)
        if subscribes { sender.releaseEvents() }
        if commits { sender.endCommit() }
    }

    /// Why no request of a line is executed.
    private func refusal(of line: DecodedLine, hasBadDescriptors: Bool) -> ProtocolError? {
        if surroundings.isStopping.isSet { return .shuttingDown }
        let limit = surroundings.service.limits.descriptors
        if hasBadDescriptors {
            return .limit(
                "descriptors",
                "more than \(limit) descriptors came with the line, or the server has "
                    + "no room for them; all were closed")
        }
        if line.count(of: .memoryExport) > limit {
            return .limit(
                "descriptors",
                "at most \(limit) descriptors are sent with one line; ask for fewer in a batch")
        }
        return nil
    }

    func refuse(_ line: DecodedLine, _ error: ProtocolError) {
        let bound = line.requests.reduce(0) { $0 + error.byteBound + ($1.id?.rawBytes.count ?? 0) }
        let room = sender.reserve(bound)
        var encoder = ReplyEncoder()
        encoder.encode(error, forEachOf: line)
        sender.enqueue(consume encoder, room)
    }

    /// Responds to a line that was not decoded, or not again.
    func refuse(_ error: ProtocolError, id: RequestID = .null) {
        var encoder = ReplyEncoder()
        encoder.encode(error, id: id)
        let room = sender.reserve(encoder.count + 1)
        sender.enqueue(consume encoder, room)
    }

    /// Finishes a request of the reading thread. Returns whether that still reads. If not, it has
    /// also executed the requests that waited for this one, and must return.
    func finishOwnRequest(_ number: RequestLanes.Number, _ turn: Turn) -> Bool {
        let (ready, stillReads) = state.change { state in
            let stillReads = state.turn == turn
            // Nobody read meanwhile, so nothing can have waited for it.
            if stillReads { state.ownRequest = nil }
            return (finish(number, &state), stillReads)
        }
        if stillReads { return true }
        sender.flush()
        executeReady(ready)
        return false
    }

    /// Starts another reading thread where one is stalled. Returns false if there was none for it.
    func replaceReader(of request: RequestLanes.Number) -> Bool {
        let limit = surroundings.service.limits.threadsPerConnection
        guard state.withLock({ $0.threadCount < limit }) else { return false }
        return surroundings.threads.run(of: peer.peer.user) {
            let next = self.state.withLock { state -> (Turn, StallWatch.Reader)? in
                guard state.ownRequest == request, let reader = state.reader else { return nil }
                state.ownRequest = nil
                state.turn += 1
                state.threadCount += 1
                return (state.turn, reader)
            }
            if let (turn, reader) = next { self.read(turn: turn, reader) }
        }
    }

    /// Executes requests that waited, and those that waited for them.
    private func executeReady(_ ready: [RequestLanes.Number]) {
        var ready = ready
        while !ready.isEmpty {
            let number = ready.removeFirst()
            ready = ready.filter { !startThread(for: $0) }
            if let request = removeWaiting(number) {
                sender.waitForRoom()
                do throws(ProtocolError) {
                    let (line, charge) = try decode(request.line)
                    execute(line, request.descriptors, hasBadDescriptors: request.hasBadDescriptors)
                    withExtendedLifetime(charge) {}
                } catch { refuse(error, id: request.id) }
                sender.flush()
            }
            ready += state.change { finish(number, &$0) }
        }
        state.change { $0.threadCount -= 1 }
    }

    /// Removes a request that is done, with `state` locked. Returns those that may begin now.
    private func finish(
        _ number: RequestLanes.Number, _ state: inout State
    ) -> [RequestLanes.Number] {
        let ready = state.lanes.finish(number)
        if state.lanes.count == 0 && surroundings.isStopping.isSet { endReading() }
        return ready
    }

    private func removeWaiting(_ number: RequestLanes.Number) -> WaitingRequest? {
        state.change { state in
            guard let request = state.waiting.removeValue(forKey: number) else { return nil }
            state.waitingBytes -= request.line.count
            return request
        }
    }

    private func startThread(for number: RequestLanes.Number) -> Bool {
        let limit = surroundings.service.limits.threadsPerConnection
        let mayStart = state.withLock { state in
            guard state.threadCount < limit else { return false }
            state.threadCount += 1
            return true
        }
        guard mayStart else { return false }
        let user = peer.peer.user
        if surroundings.threads.run(of: user, { self.executeReady([number]) }) { return true }
        state.change { $0.threadCount -= 1 }
        return false
    }
}

extension ProtocolError {
    /// The error of a request that comes after the server was stopped.
    static let shuttingDown = ProtocolError(
        .shuttingDown, "the server is shutting down and accepts no more requests")
}
