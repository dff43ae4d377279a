internal import CLinux
internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// The sending half of a connection.
///
/// Any thread of the connection puts answers in; one at a time writes, and writes what the others
/// put in meanwhile. A peer that doesn't read blocks that one thread, and the connection's others
/// where they would answer beyond the limit; never a thread of another connection.
final class Sender: Sendable {
    fileprivate struct State {
        var outbox = Outbox()
        var isWriting = false
        /// The peer is gone: what is put in goes nowhere.
        var isBroken = false
        var isClosed = false
        var events: EventQueue?
        var hasEvents = false
        /// Answers under way that must go out before any event.
        var eventHolds = 0
        var hasEventThread = false
    }

    private let state = Locked(State())
    private let output: Int32
    private let isSocket: Bool
    private let threads: ConnectionThreads
    private let byteLimit: Int

    /// Sends to `output`, which stays the caller's.
    ///
    /// - Parameter byteLimit: beyond this many bytes, who answers waits.
    init(to output: Int32, isSocket: Bool, threads: ConnectionThreads, byteLimit: Int) {
        self.output = output
        self.isSocket = isSocket
        self.threads = threads
        self.byteLimit = byteLimit
    }

    /// Sends the events of `queue` too, from now on.
    func attach(_ queue: EventQueue) { state.withLock { $0.events = queue } }

    /// From this many bytes on a line is sent from where it was written.
    private static let largeLine = 1 << 16

    /// Puts an answer in; ``flush()`` sends it.
    func put(_ line: consuming JSONWriter, descriptors: [Int32]) {
        let isBroken: Bool
        if line.count < Self.largeLine {
            isBroken = state.withLock { state in
                if !state.isBroken {
                    line.withBytes { state.outbox.put($0, descriptors: descriptors) }
                }
                return state.isBroken
            }
        } else {
            line.newLine()
            let bytes = line.finish()
            isBroken = state.withLock { state in
                if !state.isBroken { state.outbox.put(whole: bytes, descriptors: descriptors) }
                return state.isBroken
            }
        }
        if isBroken { for descriptor in descriptors { Glibc.close(descriptor) } }
    }

    /// Whether so much waits that it should be sent before more is answered.
    var isFull: Bool { state.withLock { $0.outbox.byteCount > byteLimit } }

    /// Waits until there is room for another answer.
    func waitForRoom() {
        let limit = byteLimit
        state.withLock(waitingWhile: { $0.isWriting && $0.outbox.byteCount > limit }) { _ in }
    }

    /// Sends all there is, unless another thread is about to.
    func flush() {
        let begins = state.withLock { state in
            guard !state.isWriting else { return false }
            state.isWriting = true
            return true
        }
        if begins { write() }
    }

    /// Sends all there is, and the events up to now, and waits until it is sent.
    func finish() {
        state.withLock { state in
            state.takeEvents()
            state.events = nil
        }
        flush()
        state.withLock(waitingWhile: { $0.isWriting }) { _ in }
    }

    /// Ends sending, and the thread for events.
    func close() {
        state.change { state in
            state.isClosed = true
            state.isBroken = true
            state.events = nil
        }
        state.withLock(waitingWhile: { $0.isWriting || $0.hasEventThread }) { _ in }
        drop()
    }

    private func write() {
        while let parcel = nextParcel() {
            let isSent = DescriptorIO.send(
                parcel.bytes, descriptors: parcel.descriptors, to: output, isSocket: isSocket)
            for descriptor in parcel.descriptors { Glibc.close(descriptor) }
            state.change { state in
                state.outbox.noteSent(parcel)
                if !isSent { state.isBroken = true }
            }
            if !isSent { drop() }
        }
    }

    /// The next to send; `nil` if there is nothing, and somebody else may write then.
    private func nextParcel() -> Outbox.Parcel? {
        state.change { state in
            if state.outbox.isEmpty && state.hasEvents && state.eventHolds == 0 {
                state.takeEvents()
            }
            let parcel = state.isBroken ? nil : state.outbox.take()
            if parcel == nil { state.isWriting = false }
            return parcel
        }
    }

    private func drop() {
        let parcels = state.change { $0.outbox.takeAll() }
        for parcel in parcels { for descriptor in parcel.descriptors { Glibc.close(descriptor) } }
    }
}

// MARK: Events
extension Sender {
    /// Notes that an event waits. Called by committing threads of any connection; never waits for
    /// the peer.
    func noteEvent() {
        let needsThread = state.change { state in
            state.hasEvents = true
            guard !state.isClosed, !state.hasEventThread else { return false }
            state.hasEventThread = true
            return true
        }
        guard needsThread else { return }
        // Without a thread, events go out with the next answer.
        if !threads.run({ self.sendEvents() }) { state.change { $0.hasEventThread = false } }
    }

    /// Holds events back, so that an answer can go out before those that come after it.
    func holdEvents() { state.withLock { $0.eventHolds += 1 } }

    /// Lets events go again.
    func releaseEvents() { state.change { $0.eventHolds -= 1 } }

    /// Puts the events that wait before the answer that comes next.
    func putEvents() { state.withLock { $0.takeEvents() } }

    private func sendEvents() {
        while waitForEvent() { flush() }
        state.change { $0.hasEventThread = false }
    }

    /// - Returns: false if there will be none any more.
    private func waitForEvent() -> Bool {
        state.withLock(waitingWhile: {
            !$0.isClosed && ($0.isWriting || !$0.hasEvents || $0.eventHolds > 0)
        }) { !$0.isClosed }
    }
}

extension Sender.State {
    /// Moves the events that wait into the outbox.
    mutating func takeEvents() {
        hasEvents = false
        guard let taken = events?.takeAll() else { return }
        if taken.dropped > 0 {
            var writer = JSONWriter()
            writer.beginNotification("events.dropped")
            writer.beginObject()
            writer.key("count")
            writer.integer(taken.dropped)
            writer.endObject()
            writer.endNotification()
            writer.withBytes { outbox.put($0) }
        }
        for line in taken.lines { line.withUnsafeBytes { outbox.put($0) } }
    }
}
