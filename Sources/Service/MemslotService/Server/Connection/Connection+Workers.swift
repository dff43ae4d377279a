internal import MemslotProtocol
internal import Memslots

extension Connection {
    /// Finishes a request that the reading thread executed itself.
    ///
    /// - Returns: whether this thread still reads. If not, it has also executed the requests that
    ///   waited for this one, and must return.
    func finishOwn(_ number: RequestLanes.Number, _ turn: Turn) -> Bool {
        let (ready, stillReads) = state.change { state in
            let stillReads = state.turn == turn
            // Nobody read meanwhile, so nothing can have waited for it.
            if stillReads { state.ownRequest = nil }
            return (finish(number, &state), stillReads)
        }
        if stillReads { return true }
        sender.flush()
        work(ready)
        return false
    }

    /// Starts another reading thread where the present one is stalled by its request. Called by
    /// the watch.
    ///
    /// - Returns: false if there was no thread for it.
    func replaceReader(of request: RequestLanes.Number) -> Bool {
        let limit = surroundings.service.limits.threadsPerConnection
        guard state.withLock({ $0.threadCount < limit }) else { return false }
        return surroundings.threads.run {
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
    private func work(_ ready: [RequestLanes.Number]) {
        var ready = ready
        while !ready.isEmpty {
            let number = ready.removeFirst()
            ready = ready.filter { !startThread(for: $0) }
            if let request = removeWaiting(number) {
                sender.waitForRoom()
                execute(
                    decode(request.line), request.descriptors,
                    hasBadDescriptors: request.hasBadDescriptors)
                sender.flush()
            }
            ready += state.change { finish(number, &$0) }
        }
        state.change { $0.threadCount -= 1 }
    }

    /// Removes a request that is done. Called under the lock of `state`.
    ///
    /// - Returns: those that may begin now.
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
        if surroundings.threads.run({ self.work([number]) }) { return true }
        state.change { $0.threadCount -= 1 }
        return false
    }
}
