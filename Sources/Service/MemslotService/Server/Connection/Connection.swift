internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots
internal import Synchronization

/// One connection: reads requests, has them carried out in the order of their VMs, answers.
///
/// One thread at a time reads, and carries out itself what it has read, so that a peer that asks
/// one thing after the other costs no change of threads. Where a request takes long, the
/// ``StallWatch`` lets another thread read on; the first one then only finishes its request and
/// those that waited for it.
final class Connection: Sendable {
    /// What a connection is given by its server.
    struct Surroundings: Sendable {
        let service: MemslotService
        let threads: ConnectionThreads
        let watch: StallWatch
        /// Set once the server takes no more requests.
        let isStopping: StopFlag
        /// Called when the connection has ended.
        let ended: @Sendable (Connection) -> Void
    }

    /// Where bytes come from and go to; closed by the connection.
    struct Channel: Sendable {
        let input: Int32
        let output: Int32
        let isSocket: Bool
    }

    /// Which stint of reading a thread has; another thread reads once the number is a later one.
    typealias Turn = UInt64

    struct State {
        var lanes = RequestLanes()
        var last: RequestLanes.Number = 0
        var waiting: [RequestLanes.Number: WaitingRequest] = [:]
        var waitingBytes = 0
        /// The request that the reading thread carries out itself.
        var ownRequest: RequestLanes.Number?
        var turn: Turn = 0
        /// How many threads work for this connection; the reading one counts.
        var threadCount = 1
    }

    /// A request that waits for another that names its VM.
    struct WaitingRequest {
        let line: [UInt8]
        let descriptors: PassedDescriptors
        let hasBadDescriptors: Bool
    }

    /// What only the reading thread touches.
    private struct Reading {
        var buffer: LineBuffer
        /// A line was too long; nothing after it is read.
        var isTooLong = false
    }

    let number: UInt64
    let peer: ServiceConnection
    let sender: Sender
    let state = Locked(State())
    /// The request that the reading thread carries out itself, for the watch; 0 for none.
    let ownRequest = Atomic<RequestLanes.Number>(0)
    let surroundings: Surroundings
    private let channel: Channel
    // Only the reading thread touches it; the turn to read is handed over under `state`'s lock.
    nonisolated(unsafe) private var reading: Reading

    /// A connection that is not served yet; closes the channel when it has ended.
    init(_ channel: Channel, peer: Peer, in surroundings: Surroundings) {
        let limits = surroundings.service.limits
        let sender = Sender(
            to: channel.output, isSocket: channel.isSocket, threads: surroundings.threads,
            byteLimit: limits.waitingAnswerBytes)
        let events = EventQueue(limit: limits.queuedEvents) { [weak sender] in
            sender?.noteEvent()
        }
        sender.attach(events)
        self.number = peer.connection
        self.peer = ServiceConnection(peer: peer, events: events)
        self.sender = sender
        self.channel = channel
        self.surroundings = surroundings
        reading = Reading(
            buffer: LineBuffer(
                lineLimit: limits.lineBytes, descriptorLimit: limits.descriptors))
    }

    /// Ends reading once nothing is under way any more. Called after the server's flag is set.
    ///
    /// Until then the peer is told that its requests come too late.
    func stopReading() {
        if state.withLock({ $0.lanes.count == 0 }) { endReading() }
    }

    /// Lets the reading thread find the end after what has been sent so far.
    func endReading() {
        if channel.isSocket { shutdown(channel.input, Int32(SHUT_RD)) }
    }

    /// Frees all threads that wait for the peer.
    func abandon() {
        if channel.isSocket { shutdown(channel.input, Int32(SHUT_RDWR)) }
    }

    /// Serves the peer until it has gone and everything is answered, or another thread does.
    func read(turn: Turn = 0) {
        if turn == 0 { surroundings.watch.add(self) }
        // What a thread answered before it was held up.
        sender.flush()
        repeat {
            guard carryOutLines(turn) else { return }
            sender.flush()
            waitForRoom()
        } while receive()
        end()
    }

    /// Carries out the complete lines that are there.
    ///
    /// - Returns: whether this thread still reads.
    private func carryOutLines(_ turn: Turn) -> Bool {
        while !reading.isTooLong {
            do throws(LineBuffer.LineTooLong) {
                guard let line = try reading.buffer.next() else { return true }
                guard carryOut(line, turn) else { return false }
            } catch {
                refuseLongLine()
            }
            if sender.isFull {
                sender.flush()
                waitForRoom()
            }
        }
        return true
    }

    private func carryOut(_ line: LineBuffer.Line, _ turn: Turn) -> Bool {
        let message = parse(reading.buffer.bytes, in: line.range)
        if surroundings.isStopping.isSet {
            refuse(message, .shuttingDown)
            return true
        }
        guard let number = admit(message, line) else {
            // Others are at work; this thread may read ahead only so far.
            sender.flush()
            waitForRoom()
            return true
        }
        ownRequest.store(number, ordering: .sequentiallyConsistent)
        surroundings.watch.noteRequest()
        answer(message, line.descriptors, hasBadDescriptors: line.hasBadDescriptors)
        // Not where another thread reads by now: it is that one's then.
        _ = ownRequest.compareExchange(expected: number, desired: 0, ordering: .relaxed)
        return finishOwn(number, turn)
    }

    /// Lets a request into its lanes, and keeps the line if its turn has not come.
    ///
    /// - Returns: its number if it may begin now, on this thread.
    private func admit(
        _ message: IncomingMessage, _ line: LineBuffer.Line
    ) -> RequestLanes.Number? {
        let names = message.laneNames
        return state.withLock { state in
            state.last += 1
            guard !state.lanes.admit(state.last, names: names) else {
                state.ownRequest = state.last
                return state.last
            }
            state.waitingBytes += line.range.count
            state.waiting[state.last] = WaitingRequest(
                line: Array(reading.buffer.bytes[line.range]), descriptors: line.descriptors,
                hasBadDescriptors: line.hasBadDescriptors)
            return nil
        }
    }

    /// Waits while more requests or answers are under way than may be: backpressure, so that a
    /// peer that asks faster than it is answered, or doesn't read, costs bounded memory.
    private func waitForRoom() {
        sender.waitForRoom()
        let limits = surroundings.service.limits
        state.withLock(waitingWhile: {
            $0.lanes.count >= limits.inFlightRequests
                || $0.waitingBytes > limits.waitingRequestBytes
        }) { _ in }
    }

    /// Waits for more bytes.
    ///
    /// - Returns: false at the end.
    private func receive() -> Bool {
        guard !reading.isTooLong else { return false }
        if !channel.isSocket, !surroundings.isStopping.waits(for: channel.input) { return false }
        return DescriptorIO.receive(
            from: channel.input, isSocket: channel.isSocket, into: &reading.buffer) > 0
    }

    // MARK: The end

    private func refuseLongLine() {
        reading.isTooLong = true
        let limit = surroundings.service.limits.lineBytes
        refuse(
            ProtocolError(
                ErrorData(.limitExceeded, limit: "lineBytes"),
                message: "a line has at most \(limit) bytes; the connection is closed"))
    }

    private func end() {
        if reading.buffer.hasRest && !reading.isTooLong && !surroundings.isStopping.isSet {
            refuse(ProtocolError(.parseError, "the last line has no end, and is not carried out"))
        }
        state.withLock(waitingWhile: { $0.threadCount > 1 || $0.lanes.count > 0 }) { _ in }
        sender.finish()
        sender.close()
        surroundings.service.end(peer)
        surroundings.watch.remove(self)
        if reading.isTooLong && channel.isSocket { Lingering.drain(channel.input) }
        // This may be held for a moment yet by who looks on; half a line's descriptors aren't.
        reading.buffer.closeRest()
        close(channel.input)
        if channel.output != channel.input { close(channel.output) }
        surroundings.ended(self)
    }
}
