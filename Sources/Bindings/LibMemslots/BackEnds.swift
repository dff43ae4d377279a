// The names are those of memslots.h, and so is the documentation.
// swift-format-ignore-file: AllPublicDeclarationsHaveDocumentation, AlwaysUseLowerCamelCase

public import CMemslots
import MemslotVhostUser
import Memslots

/// A connection to a back end, and the observer that uses it once it is attached.
private final class OpenBackEnd: Sendable {
    struct State {
        /// The connection; `nil` after a reconnected back end has adopted it.
        var frontEnd: VhostUserFrontEnd?
        /// Whether an attach uses the connection, also one that is going on.
        var isUsed = false
        var observer: VhostUserObserver?
        var table: OpenTable?
        var features: VhostUserFeatures = []
        var deadline: Duration
    }

    let offer: VhostUserOffer
    let state: Locked<State>

    init(_ frontEnd: VhostUserFrontEnd, _ offer: VhostUserOffer, deadline: Duration) {
        self.offer = offer
        state = Locked(State(frontEnd: frontEnd, deadline: deadline))
    }

    deinit {
        let (observer, table, frontEnd) = state.withLock { ($0.observer, $0.table, $0.frontEnd) }
        if let observer { table?.table.remove(observer) }
        frontEnd?.close()
    }

    /// The observer, and until when a call may take.
    func attached() throws(Problem) -> (VhostUserObserver, Deadline) {
        let (observer, deadline) = state.withLock { ($0.observer, $0.deadline) }
        guard let observer else { throw .badArgument("the back end is not attached to a table") }
        return (observer, .after(deadline))
    }
}

/// The functions that the caller passed with a back end.
extension memslots_back_end_options {
    fileprivate func descriptor(of object: MemoryObjectID) -> Int32? {
        let number = descriptor?(context, object.rawValue) ?? -1
        return number < 0 ? nil : number
    }

    fileprivate func isVisible(_ slot: Memslot) -> Bool {
        guard let is_visible else { return VhostUserObserver.isWritableMemory(slot) }
        var slot = memslots_slot(slot)
        return is_visible(context, &slot)
    }

    fileprivate func changed(_ state: VhostUserState) {
        var reason = state.name
        if case .lost(let error) = state { reason = error.message }
        state_changed?(context, state.code, reason)
    }
}

extension VhostUserState {
    fileprivate var code: UInt32 {
        switch self {
        case .detached: UInt32(MEMSLOTS_BACK_END_DETACHED)
        case .attached: UInt32(MEMSLOTS_BACK_END_ATTACHED)
        case .lost: UInt32(MEMSLOTS_BACK_END_LOST)
        case .needsReset: UInt32(MEMSLOTS_BACK_END_NEEDS_RESET)
        }
    }
}

private func returnCode(
    _ handle: memslots_back_end, _ body: (OpenBackEnd) throws(Problem) -> Void
) -> Int32 { returnCode(handle.value, .backEnd, as: OpenBackEnd.self, body) }

private func talking<R>(_ body: () throws(VhostUserError) -> R) throws(Problem) -> R {
    try converting(Problem.backEnd, body())
}

private func milliseconds(_ number: UInt32, else usual: Int) -> Duration {
    .milliseconds(number == 0 ? usual : Int(number))
}

@c @implementation public func memslots_back_end_open(
    _ path: UnsafePointer<CChar>?, _ socket: Int32, _ deadline: UInt32,
    _ backEnd: UnsafeMutablePointer<memslots_back_end>?,
    _ offer: UnsafeMutablePointer<memslots_back_end_offer>?
) -> Int32 {
    returnCode { () throws(Problem) in
        let patience = milliseconds(deadline, else: 5_000)
        let opened = try talking { () throws(VhostUserError) in
            let frontEnd =
                if let path = string(path) {
                    try VhostUserFrontEnd(connectingTo: path, by: .after(patience))
                } else { VhostUserFrontEnd(adopting: socket) }
            return OpenBackEnd(
                frontEnd, try frontEnd.open(by: .after(patience)), deadline: patience)
        }
        guard let backEnd else { throw .badArgument("back_end is NULL") }
        if let offer {
            try SizedStructure.check(offer)
            offer.pointee.features = opened.offer.features.rawValue
            offer.pointee.ring_count = UInt32(clamping: opened.offer.ringCount)
            offer.pointee.region_limit = UInt32(clamping: opened.offer.regionLimit)
        }
        backEnd.pointee.value = try HandleTable.shared.open(opened, as: .backEnd)
    }
}

@c @implementation public func memslots_back_end_configuration(
    _ backEnd: memslots_back_end, _ offset: UInt32, _ bytes: UnsafeMutableRawPointer?, _ count: Int
) -> Int32 {
    returnCode(backEnd) { open throws(Problem) in
        let (frontEnd, deadline) = open.state.withLock { ($0.frontEnd, $0.deadline) }
        guard let bytes, let frontEnd else {
            throw .badArgument("bytes is NULL, or the connection was adopted by another back end")
        }
        let read = try converting(
            Problem.backEnd, frontEnd.configuration(at: offset, count: count, by: .after(deadline)))
        bytes.copyMemory(from: read, byteCount: read.count)
    }
}

@c @implementation public func memslots_back_end_attach(
    _ backEnd: memslots_back_end, _ table: memslots_table,
    _ options: UnsafePointer<memslots_back_end_options>?
) -> Int32 {
    returnCode(backEnd) { open throws(Problem) in
        guard let options = try SizedStructure.read(options), options.descriptor != nil else {
            throw .badArgument("options or its function `descriptor` is NULL")
        }
        let deadline = milliseconds(options.deadline_milliseconds, else: 5_000)
        let features =
            options.features == 0 ? .version1 : VhostUserFeatures(rawValue: options.features)
        // Releases the context on an error too.
        let callbacks = Borrowed(options) { options.release?(options.context) }
        try HandleTable.shared.with(table.value, .table, as: OpenTable.self) {
            target throws(Problem) in
            let frontEnd = open.state.withLock { state in
                defer { state.isUsed = true }
                return state.isUsed ? nil : state.frontEnd
            }
            guard let frontEnd else {
                throw .badArgument("the back end is attached, or was adopted by another")
            }
            defer { open.state.withLock { $0.isUsed = $0.observer != nil } }
            let observer = try talking { () throws(VhostUserError) in
                try frontEnd.set(features, by: .after(deadline))
                let observer = try VhostUserObserver(
                    name: string(options.name) ?? "back end", frontEnd: frontEnd,
                    offer: open.offer, isVisible: { callbacks.value.isVisible($0) },
                    descriptor: { callbacks.value.descriptor(of: $0) },
                    waitsForRequests: options.waits_for_requests,
                    patience: milliseconds(options.patience_milliseconds, else: 10_000),
                    stateChanged: { callbacks.value.changed($0) })
                try observer.attach(to: target.table)
                return observer
            }
            open.state.withLock { state in
                (state.observer, state.table) = (observer, target)
                (state.features, state.deadline) = (features, deadline)
            }
        }
    }
}

@c @implementation public func memslots_back_end_start(
    _ backEnd: memslots_back_end, _ ring: UnsafePointer<memslots_ring>?
) -> Int32 {
    returnCode(backEnd) { open throws(Problem) in
        guard let ring = try SizedStructure.read(ring), let size = UInt16(exactly: ring.entries)
        else { throw .badArgument("ring is NULL, or has more than 65,535 entries") }
        let (observer, deadline) = try open.attached()
        let buffers = try ring.buffers.map { list throws(Problem) in
            try UnsafeBufferPointer(start: list, count: Int(ring.buffer_count)).map {
                range throws(Problem) in
                let start = GuestPhysicalAddress(range.guest_physical_address)
                guard let end = start.advanced(by: ByteCount(range.size)) else {
                    throw .badArgument("a range of buffers wraps 2^64")
                }
                return start..<end
            }
        }
        let started = VhostUserRing(
            index: Int(ring.index), size: size,
            addresses: VhostUserRingAddresses(
                descriptors: GuestPhysicalAddress(ring.descriptors),
                available: GuestPhysicalAddress(ring.available),
                used: GuestPhysicalAddress(ring.used)),
            kick: ring.kick, call: ring.call, buffers: buffers)
        try converting(Problem.backEnd, observer.start(started, base: ring.base, by: deadline))
    }
}

@c @implementation public func memslots_back_end_stop(
    _ backEnd: memslots_back_end, _ ring: UInt32, _ base: UnsafeMutablePointer<UInt32>?
) -> Int32 {
    returnCode(backEnd) { open throws(Problem) in
        let (observer, deadline) = try open.attached()
        let place = try converting(Problem.backEnd, observer.stop(ring: Int(ring), by: deadline))
        base?.pointee = place
    }
}

@c @implementation public func memslots_back_end_reconnect(
    _ backEnd: memslots_back_end, _ fresh: memslots_back_end
) -> Int32 {
    returnCode(backEnd) { open throws(Problem) in
        let (observer, deadline) = try open.attached()
        let features = open.state.withLock { $0.features }
        try HandleTable.shared.with(fresh.value, .backEnd, as: OpenBackEnd.self) {
            other throws(Problem) in
            let adopted = other.state.withLock { state in
                guard !state.isUsed else { return VhostUserFrontEnd?.none }
                defer { state.frontEnd = nil }
                return state.frontEnd
            }
            guard let adopted else { throw .badArgument("`fresh` is attached, or was adopted") }
            try talking { () throws(VhostUserError) in
                try adopted.set(features, by: deadline)
                try observer.reconnect(adopted, offer: other.offer, by: deadline)
            }
            open.state.withLock { $0.frontEnd = adopted }
        }
        try HandleTable.shared.close(fresh.value, .backEnd)
    }
}

@c @implementation public func memslots_back_end_get_status(
    _ backEnd: memslots_back_end, _ status: UnsafeMutablePointer<memslots_back_end_status>?
) -> Int32 {
    returnCode(backEnd) { open throws(Problem) in
        guard let status else { throw .badArgument("status is NULL") }
        try SizedStructure.check(status)
        guard let observer = open.state.withLock({ $0.observer }) else {
            status.pointee.state = UInt32(MEMSLOTS_BACK_END_DETACHED)
            return
        }
        status.pointee.state = observer.backEndState.code
        status.pointee.regions = UInt32(clamping: observer.regions.count)
        status.pointee.ring_stops = UInt64(observer.ringStops)
        status.pointee.messages = UInt64(observer.messagesSent.values.reduce(0, +))
    }
}

@c @implementation public func memslots_back_end_close(_ backEnd: memslots_back_end) -> Int32 {
    returnCode { () throws(Problem) in try HandleTable.shared.close(backEnd.value, .backEnd) }
}
