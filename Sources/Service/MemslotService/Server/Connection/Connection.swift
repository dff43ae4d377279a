internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// One connection: reads requests, executes them in the order of their VMs, sends the replies.
///
/// One thread at a time reads, and executes what it has read, so a peer that waits for each reply
/// causes no change of threads. If a request takes long, the ``StallWatch`` starts another thread
/// to read. The first one then only finishes its request and those that waited for it.
final class Connection: Sendable {
    struct Surroundings: Sendable {
        let service: MemslotService
        let threads: ConnectionThreads
        let watch: StallWatch
        /// `nil` to receive descriptors in this process.
        let launcher: DescriptorLauncher?
        /// Set once the server accepts no more requests.
        let isStopping: StopFlag
        /// Called when the connection has ended, with what could not be closed.
        let ended: @Sendable (Connection, [AbandonedSocket]) -> Void
    }

    /// The descriptors of a connection, which closes them.
    struct Channel: Sendable {
        let input, output: Int32
        let isSocket: Bool
    }

    /// Numbers the threads that read, one after the other. The one with the last number reads.
    typealias Turn = UInt64

    struct State {
        var lanes = RequestLanes()
        var last: RequestLanes.Number = 0
        var waiting: [RequestLanes.Number: WaitingRequest] = [:]
        var waitingBytes = 0
        /// The request that the reading thread executes itself.
        var ownRequest: RequestLanes.Number?
        var turn: Turn = 0
        /// How many threads work for this connection, including the one that reads.
        var threadCount = 1
        /// How the watch sees the thread that reads; `nil` before it reads.
        var reader: StallWatch.Reader?
    }

    /// A request that waits for another that names its VM. It is decoded again when it begins: a
    /// line is smaller than what it decodes to, and a limit bounds the bytes of the lines.
    struct WaitingRequest {
        let line: [UInt8]
        let descriptors: PassedDescriptors
        let hasBadDescriptors: Bool
        /// The request's id; `null` for a batch.
        let id: RequestID
        /// Counts the line.
        let charge: BudgetCharge
    }

    /// What only the reading thread touches.
    private struct Reading {
        var buffer: LineBuffer
        /// A line was too long, or its descriptors can't be received; nothing after it is read.
        var isRefused = false
    }

    let number: UInt64
    let peer: ServiceConnection
    let sender: Sender
    let state = Locked(State())
    let surroundings: Surroundings
    let begun = ContinuousClock.now
    let decoder: RequestDecoder
    private let channel: Channel
    // Only the reading thread touches it; the turn to read passes on under `state`'s lock.
    nonisolated(unsafe) private var reading: Reading
    // As `reading`; both change in one call, so they are not one value.
    nonisolated(unsafe) private var input: PeerSocket

    /// A connection that is not served yet. It closes the channel when it has ended.
    init(_ channel: Channel, peer: Peer, in surroundings: Surroundings) {
        let (limits, budgets) = (surroundings.service.limits, surroundings.service.budgets)
        let sender = Sender(
            to: channel.output, isSocket: channel.isSocket, threads: surroundings.threads,
            byteLimit: limits.waitingAnswerBytes,
            user: peer.user, budget: budgets.unreadReplyBytes, eventBudget: budgets.eventBytes)
        let events = EventQueue(
            limit: limits.queuedEvents, chargedTo: (budgets.eventBytes, peer.user)
        ) { [weak sender] in sender?.recordEvent() }
        sender.attach(events)
        self.number = peer.connection
        self.peer = ServiceConnection(peer: peer, events: events)
        (self.sender, self.channel, self.surroundings) = (sender, channel, surroundings)
        decoder = RequestDecoder(depthLimit: limits.depth, batchLimit: limits.batch)
        reading = Reading(
            buffer: LineBuffer(
                lineLimit: limits.lineBytes, descriptorLimit: limits.descriptors,
                charge: { try? budgets.passedDescriptors.charged($0, to: peer.user) },
                chargeRoom: { try? budgets.requestBytes.charged($0, to: peer.user) }))
        input = PeerSocket(
            channel.input, isSocket: channel.isSocket, launcher: surroundings.launcher)
    }

    /// Ends reading once no request runs. Until then the peer's requests get `shutting-down`.
    func stopReading() { if state.withLock({ $0.lanes.count == 0 }) { endReading() } }

    var hasRequested: Bool { state.withLock { $0.last > 0 } }

    /// Lets the reading thread find the end after what the peer has sent so far.
    func endReading() { if channel.isSocket { shutdown(channel.input, Int32(SHUT_RD)) } }

    /// Frees all threads that wait for the peer.
    func abandon() { if channel.isSocket { shutdown(channel.input, Int32(SHUT_RDWR)) } }

    /// Serves the peer until it has gone and everything is sent.
    func serve() {
        let reader = surroundings.watch.add { [weak self] request in
            self?.replaceReader(of: request) ?? true
        }
        state.withLock { $0.reader = reader }
        read(turn: 0, reader)
    }

    /// Reads until the peer has gone, or another thread has the turn.
    func read(turn: Turn, _ reader: StallWatch.Reader) {
        // The replies of the thread that read before.
        sender.flush()
        repeat {
            guard executeBufferedLines(turn, reader) else { return }
            sender.flush()
            waitForRoom()
        } while receive()
        end(reader)
    }

    /// Executes the complete lines in the buffer. Returns whether this thread still reads.
    private func executeBufferedLines(_ turn: Turn, _ reader: StallWatch.Reader) -> Bool {
        while !reading.isRefused {
            do throws(LineBuffer.LineTooLong) {
                guard let line = try reading.buffer.next() else { return true }
                guard process(line, turn, reader) else { return false }
            } catch {
                let limit = surroundings.service.limits.lineBytes
                refuseRest("lineBytes", "a line has at most \(limit) bytes")
            }
            if sender.isFull {
                sender.flush()
                waitForRoom()
            }
        }
        return true
    }

    /// Executes a line, or keeps it for its turn. Returns whether this thread still reads.
    private func process(
        _ line: LineBuffer.Line, _ turn: Turn, _ reader: StallWatch.Reader
    ) -> Bool {
        let decoded: DecodedLine
        let charge: BudgetCharge?
        do throws(ProtocolError) {
            (decoded, charge) = try decode(reading.buffer.bytes, in: line.range)
        } catch {
            refuse(error)
            return true
        }
        defer { withExtendedLifetime(charge) {} }
        if surroundings.isStopping.isSet {
            refuse(decoded, .shuttingDown)
            return true
        }
        let number: RequestLanes.Number?
        do throws(ProtocolError) { number = try enqueue(decoded, line) } catch {
            refuse(decoded, error)
            return true
        }
        guard let number else {
            // Other threads work; this one may read ahead only so far.
            sender.flush()
            waitForRoom()
            return true
        }
        // Before the request takes memory of its own.
        reading.buffer.releaseLongLine()
        reader.begin(number)
        execute(decoded, line.descriptors, hasBadDescriptors: line.hasBadDescriptors)
        reader.end(number)
        return finishOwnRequest(number, turn)
    }

    /// Enqueues a request. Returns its number if it may begin now, on this thread. Otherwise keeps
    /// the line, and throws where there is no memory for that.
    private func enqueue(
        _ decoded: DecodedLine, _ line: LineBuffer.Line
    ) throws(ProtocolError) -> RequestLanes.Number? {
        let names = decoded.laneNames
        let budget = surroundings.service.budgets.requestBytes
        return try state.withLock { state throws(ProtocolError) in
            // The line, its id and what surrounds them.
            let charge =
                state.lanes.waits(names)
                ? try budget.charged(2 * line.range.count + 512, to: peer.peer.user) : nil
            state.last += 1
            guard !state.lanes.enqueue(state.last, names: names), let charge else {
                state.ownRequest = state.last
                return state.last
            }
            state.waitingBytes += line.range.count
            state.waiting[state.last] = WaitingRequest(
                line: Array(reading.buffer.bytes[line.range]), descriptors: line.descriptors,
                hasBadDescriptors: line.hasBadDescriptors, id: decoded.singleID, charge: charge)
            return nil
        }
    }

    /// A peer that sends requests faster than it reads the replies costs bounded memory.
    private func waitForRoom() {
        sender.waitForRoom()
        let limits = surroundings.service.limits
        state.withLock(waitingWhile: {
            $0.lanes.count >= limits.inFlightRequests
                || $0.waitingBytes > limits.waitingRequestBytes
        }) { _ in }
    }

    /// Waits for more bytes. Returns false at the end.
    private func receive() -> Bool {
        guard !reading.isRefused else { return false }
        if !channel.isSocket, !surroundings.isStopping.waits(for: channel.input) { return false }
        let count = input.receive(into: &reading.buffer)
        if count == -Int(ENOMEM) {
            refuseRest("requestBytes", "the line has no room in memory")
        } else if count < 0, channel.isSocket, count != -Int(ECONNRESET) {
            // No process can receive them, or the one that receives them hangs.
            let reason =
                count == -Int(ETIMEDOUT)
                ? "one that came before is still being closed" : "\(Errno(rawValue: Int32(-count)))"
            refuseRest("descriptors", "the descriptors of a line can't be received (\(reason))")
        }
        return count > 0
    }

    // MARK: - The end

    /// Refuses a line, and does not read what comes after it.
    private func refuseRest(_ limit: String, _ reason: String) {
        reading.isRefused = true
        refuse(.limit(limit, "\(reason); the connection is closed"))
    }

    private func end(_ reader: StallWatch.Reader) {
        if reading.buffer.hasRest && !reading.isRefused && !surroundings.isStopping.isSet {
            refuse(ProtocolError(.parseError, "the last line has no end, and is not executed"))
        }
        state.withLock(waitingWhile: { $0.threadCount > 1 || $0.lanes.count > 0 }) { _ in }
        sender.finish()
        sender.close()
        surroundings.service.end(peer)
        surroundings.watch.remove(reader)
        if reading.isRefused && channel.isSocket { input.discardInput() }
        // The server may hold this object for longer; the descriptors of half a line must go now.
        if reading.buffer.bytes.count > 1 << 20 { surroundings.watch.recordMuchMemory() }
        reading.buffer.closeRest()
        var abandoned = [input.close()]
        if channel.output != channel.input {
            let output = PeerSocket(
                channel.output, isSocket: channel.isSocket, launcher: surroundings.launcher)
            abandoned.append(output.close())
        }
        surroundings.ended(self, abandoned.compactMap(\.self))
    }
}
