internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// The sending half of a connection.
///
/// Any thread of the connection puts replies in. One thread at a time writes, and writes what the
/// others put in meanwhile. A peer that doesn't read blocks that thread, and those that would
/// exceed the limit, but never a thread of another connection.
final class Sender: Sendable {
    fileprivate struct State {
        var outbox = Outbox()
        var isWriting = false
        /// The peer is gone: what is put in is dropped.
        var isBroken = false
        var isClosed = false
        var events: EventQueue?
        var hasEvents = false
        /// How many replies are still to be put in before any event.
        var eventHolds = 0
        /// The threads that execute a request which may commit, and whether it has.
        var committing: [pthread_t: Bool] = [:]
        var hasEventThread = false
        /// The room of replies that are not sent yet.
        var held = Room()
    }

    /// Room for the replies to a line, which counts until they are sent.
    struct Room {
        /// Bytes of what each connection may have.
        var own = 0
        /// Bytes that are charged to the user.
        var charged = 0
        /// Bytes that are charged to the user as events.
        var events = 0

        static func += (room: inout Room, other: Room) {
            room.own += other.own
            room.charged += other.charged
            room.events += other.events
        }
    }

    private let state = Locked(State())
    private let output: Int32
    private let isSocket: Bool
    private let threads: ConnectionThreads
    private let byteLimit: Int
    private let user: UInt32
    private let budget: Budget
    private let eventBudget: Budget?

    /// Bytes of replies that a connection may have without a charge to its user.
    static let ownBytes = 1 << 16

    /// Sends to `output`, which stays the caller's. Threads wait while more than `byteLimit` bytes
    /// are unsent. `user` is charged for replies in `budget`, for events in `eventBudget`.
    init(
        to output: Int32, isSocket: Bool, threads: ConnectionThreads, byteLimit: Int,
        user: UInt32, budget: Budget, eventBudget: Budget? = nil
    ) {
        (self.output, self.isSocket, self.threads) = (output, isSocket, threads)
        (self.byteLimit, self.user) = (byteLimit, user)
        (self.budget, self.eventBudget) = (budget, eventBudget)
    }

    /// Sends the events of `queue` too, from now on.
    func attach(_ queue: EventQueue) { state.withLock { $0.events = queue } }

    /// A line of this many bytes is sent from the buffer that it was encoded in.
    private static let largeLine = 1 << 16

    /// Reserves room for replies of up to `bytes`. A small reply has room in what each connection
    /// may have. Others wait until the unsent ones are within the limit, then for the budget.
    func reserve(_ bytes: Int) -> Room {
        let small = state.withLock { state -> Room? in
            guard state.held.own + bytes <= Self.ownBytes else { return nil }
            state.held.own += bytes
            return Room(own: bytes)
        }
        if let small { return small }
        // Otherwise nobody might send what this waits for.
        flush()
        let byteLimit = byteLimit
        state.withLock(waitingWhile: { !$0.isBroken && $0.held.charged > byteLimit }) {
            $0.held.charged += bytes
        }
        let charged = budget.wait(for: bytes, of: user)
        state.change { $0.held.charged -= bytes - charged }
        return Room(charged: charged)
    }

    /// Releases room whose replies are sent, or are never sent.
    func release(_ room: Room) {
        if room.events > 0 { eventBudget?.release(room.events, of: user) }
        if room.own == 0 && room.charged == 0 { return }
        state.change { $0.held += Room(own: -room.own, charged: -room.charged) }
        if room.charged > 0 { budget.release(room.charged, of: user) }
    }

    /// Puts the replies to a line in, if any; ``flush()`` sends them. `room` was reserved.
    func enqueue(_ line: consuming ReplyEncoder, _ room: Room) {
        if line.count == 0 { return release(room) }
        let descriptors = line.descriptors
        // A long line is sent from its own buffer, which has room for all that was reserved.
        let isCopied = line.count < Self.largeLine && descriptors === PassedDescriptors.none
        let count = isCopied ? line.count + 1 : max(line.capacity, line.count + 1)
        let kept = Room(own: min(room.own, count), charged: min(room.charged, count))
        let rest = Room(own: room.own - kept.own, charged: room.charged - kept.charged)
        let isKept: Bool
        if isCopied {
            // A closure that captured the encoder would keep a second reference to its text.
            isKept = line.withBytes { bytes in append { $0.append(bytes, kept) } }
        } else {
            let bytes = line.finishLine()
            isKept = append { $0.append(complete: bytes, descriptors: descriptors, kept) }
        }
        release(isKept ? rest : room)
    }

    /// Calls `append` on the outbox. Returns whether what it appends will be sent.
    private func append(_ append: (inout Outbox) -> Void) -> Bool {
        state.withLock { state in
            if !state.isBroken { append(&state.outbox) }
            return !state.isBroken
        }
    }

    /// Whether so many bytes are unsent that they should be sent before more requests are executed.
    var isFull: Bool { state.withLock { $0.outbox.byteCount > byteLimit } }

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
            state.enqueueEvents()
            state.events = nil
        }
        flush()
        state.withLock(waitingWhile: { $0.isWriting }) { _ in }
    }

    /// Ends sending, and the thread for events.
    func close() {
        state.change { ($0.isClosed, $0.isBroken, $0.events) = (true, true, nil) }
        state.withLock(waitingWhile: { $0.isWriting || $0.hasEventThread }) { _ in }
        release(state.change { $0.outbox.removeAll() })
    }

    private func write() {
        while let parcel = nextParcel() {
            let isSent = DescriptorIO.send(
                parcel.bytes, descriptors: parcel.descriptors.open, to: output, isSocket: isSocket)
            var room = parcel.room
            state.change { state in
                state.outbox.recordSent(parcel)
                guard !isSent else { return }
                state.isBroken = true
                room += state.outbox.removeAll()
            }
            release(room)
        }
    }

    /// The next parcel; `nil` if there is nothing, and another thread may write then.
    private func nextParcel() -> Outbox.Parcel? {
        state.change { state in
            if state.outbox.isEmpty && state.hasEvents && state.eventHolds == 0 {
                state.enqueueEvents()
            }
            let parcel = state.isBroken ? nil : state.outbox.removeFirst()
            if parcel == nil { state.isWriting = false }
            return parcel
        }
    }
}

// MARK: Events
extension Sender {
    /// Records that an event waits, on a committing thread of any connection. Never waits.
    func recordEvent() {
        let needsThread = state.change { state in
            state.hasEvents = true
            let thread = callingThread()
            if state.committing[thread] == false {
                state.committing[thread] = true
                state.eventHolds += 1
            }
            guard !state.isClosed, !state.hasEventThread else { return false }
            state.hasEventThread = true
            return true
        }
        guard needsThread else { return }
        // Without a thread, events are sent with the next reply.
        if threads.run(of: user, { self.sendEvents() }) { return }
        state.change { $0.hasEventThread = false }
    }

    /// Holds events back, so that a reply is sent before the events that come after it.
    func holdEvents() { state.withLock { $0.eventHolds += 1 } }

    /// Ends what ``holdEvents()`` began.
    func releaseEvents() { state.change { $0.eventHolds -= 1 } }

    /// Holds back the events of what this thread commits until its reply is put in.
    func beginCommit() { state.withLock { $0.committing[pthread_self()] = false } }

    /// Ends what ``beginCommit()`` began.
    func endCommit() {
        state.change { state in
            if state.committing.removeValue(forKey: pthread_self()) == true {
                state.eventHolds -= 1
            }
        }
    }

    /// Puts the events that wait before the next reply.
    func enqueueEvents() { state.withLock { $0.enqueueEvents() } }

    private func sendEvents() {
        while waitForEvent() { flush() }
        state.change { $0.hasEventThread = false }
    }

    /// - Returns: false once the connection is closed.
    private func waitForEvent() -> Bool {
        state.withLock(waitingWhile: {
            !$0.isClosed && ($0.isWriting || !$0.hasEvents || $0.eventHolds > 0)
        }) { !$0.isClosed }
    }
}

extension Sender.State {
    /// Moves the events that wait into the outbox.
    mutating func enqueueEvents() {
        hasEvents = false
        guard let (dropped, lines) = events?.removeAllCharged() else { return }
        if dropped > 0 {
            var writer = JSONWriter()
            writer.notification("events.dropped") { params in
                params.object { $0.member("count", dropped) }
            }
            writer.withBytes { outbox.append($0) }
        }
        for line in lines {
            let room = Sender.Room(events: EventQueue.cost(bytes: line.count, lines: 1))
            line.withUnsafeBytes { outbox.append($0, room) }
        }
    }
}

/// What a connection has to send, in order. Lines are joined, so that many replies are sent in one
/// write. One with descriptors is a write of its own: they belong to the line that holds the last
/// byte they came with. A plain value that knows no socket.
struct Outbox {
    /// What is sent in one write.
    struct Parcel {
        var bytes: [UInt8]
        /// Closed with the parcel.
        var descriptors = PassedDescriptors.none
        /// Nothing may be appended.
        var isComplete = false
        /// What is released when it is sent.
        var room = Sender.Room()
    }

    private var parcels: [Parcel] = []
    private var spare: [UInt8] = []
    /// The most bytes of lines that are joined.
    private static let joined = 1 << 16
    /// The bytes that are not yet ``recordSent(_:)``.
    private(set) var byteCount = 0

    var isEmpty: Bool { parcels.isEmpty }

    /// Appends a line, and its end.
    mutating func append(_ line: UnsafeRawBufferPointer, _ room: Sender.Room = Sender.Room()) {
        byteCount += line.count + 1
        let isFull = (parcels.last?.bytes.count ?? 0) + line.count >= Self.joined
        if isFull || parcels.last?.isComplete ?? true {
            parcels.append(Parcel(bytes: spare))
            spare = []
        }
        let last = parcels.count - 1
        parcels[last].bytes.append(contentsOf: line)
        parcels[last].bytes.append(UInt8(ascii: "\n"))
        parcels[last].room += room
    }

    /// Appends a line with its end, to send alone: it has descriptors, or copying it takes longer.
    mutating func append(
        complete line: [UInt8], descriptors: PassedDescriptors = .none,
        _ room: Sender.Room = Sender.Room()
    ) {
        byteCount += line.count
        parcels.append(Parcel(bytes: line, descriptors: descriptors, isComplete: true, room: room))
    }

    mutating func removeFirst() -> Parcel? { parcels.isEmpty ? nil : parcels.removeFirst() }

    /// Records that a parcel was sent, and keeps its room for the next.
    mutating func recordSent(_ parcel: consuming Parcel) {
        byteCount -= parcel.bytes.count
        guard parcel.bytes.capacity <= 2 * Self.joined else { return }
        spare = parcel.bytes
        spare.removeAll(keepingCapacity: true)
    }

    /// Drops everything. Returns the room of what is dropped.
    mutating func removeAll() -> Sender.Room {
        defer {
            parcels = []
            byteCount = 0
        }
        return parcels.reduce(into: Sender.Room()) { $0 += $1.room }
    }
}
