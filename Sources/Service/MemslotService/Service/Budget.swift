internal import Glibc
internal import MemslotProtocol
internal import Memslots

/// How much of one resource the peers may hold: each of them its share, all together the total.
///
/// A peer is a user. A part of the total is reserved for root and the server's own user: other peers
/// can't lock them out.
final class Budget: Sendable {
    private struct State {
        var held: [UInt32: Int] = [:]
        var sum = 0
        /// Those that wait for room, in the order in which they came.
        var waiting: [Waiter] = []
        var last: UInt64 = 0
    }

    private struct Waiter {
        let number: UInt64
        let user: UInt32
        let amount: Int
    }

    /// The limit's name; that of the share is `namePerPeer`.
    let name: String
    /// What it counts, in the plural.
    private let things: String
    private let total, share: Int
    private let state = Locked(State())

    init(_ name: String, of things: String, total: Int, share: Int) {
        (self.name, self.things, self.total, self.share) = (name, things, total, share)
    }

    /// A budget with the limits that its name has in `limits`.
    fileprivate convenience init(_ name: String, of things: String, _ limits: [String: UInt64]) {
        guard let total = limits[name], let share = limits["\(name)PerPeer"] else {
            preconditionFailure("ServiceLimits has no \(name) and \(name)PerPeer")
        }
        self.init(name, of: things, total: Int(clamping: total), share: Int(clamping: share))
    }

    /// Adds `amount` to what `user` holds. Throws `limit-exceeded`; nothing is added then.
    func charge(_ amount: Int, to user: UInt32) throws(ProtocolError) {
        try state.withLock { state throws(ProtocolError) in
            try check(amount, of: user, state)
            add(amount, to: user, &state)
        }
    }

    /// Adds `amount` for as long as the returned object lives. Throws `limit-exceeded`; nothing is
    /// added then.
    func charged(_ amount: Int, to user: UInt32) throws(ProtocolError) -> BudgetCharge {
        try charge(amount, to: user)
        return BudgetCharge(amount, to: user, of: self)
    }

    /// Adds `amount`, even beyond the limits: it exists already.
    func charge(existing amount: Int, to user: UInt32) {
        state.withLock { add(amount, to: user, &$0) }
    }

    /// As ``charge(existing:to:)``, for as long as the returned object lives.
    func charged(existing amount: Int, to user: UInt32) -> BudgetCharge {
        charge(existing: amount, to: user)
        return BudgetCharge(amount, to: user, of: self)
    }

    /// Checks that `amount` could be charged. Throws `limit-exceeded`.
    func check(_ amount: Int, of user: UInt32) throws(ProtocolError) {
        try state.withLock { state throws(ProtocolError) in try check(amount, of: user, state) }
    }

    /// Waits until there is room for `amount`, and adds it.
    ///
    /// The requests of one user are served in order. One that only lacks room in the total is
    /// served before all that came later, except those for which a part of it is reserved. Returns
    /// what was added: `amount`, or all of the share.
    func wait(for amount: Int, of user: UInt32) -> Int {
        let amount = min(amount, share)
        let number = state.withLock { state -> UInt64? in
            if state.waiting.isEmpty, shortage(amount, user, state) == nil {
                add(amount, to: user, &state)
                return nil
            }
            state.last += 1
            state.waiting.append(Waiter(number: state.last, user: user, amount: amount))
            return state.last
        }
        guard let number else { return amount }
        state.withLock(waitingWhile: { !isNext(number, $0) }) { state in
            state.waiting.removeAll { $0.number == number }
            add(amount, to: user, &state)
        }
        // The next one may have room too.
        state.change { _ in }
        return amount
    }

    var waitingCount: Int { state.withLock { $0.waiting.count } }

    private func isNext(_ number: UInt64, _ state: borrowing State) -> Bool {
        var blocked: Set<UInt32> = []
        var isTotalAwaited = false
        for waiter in state.waiting where !blocked.contains(waiter.user) {
            if isTotalAwaited, !isPrivileged(waiter.user) { continue }
            switch shortage(waiter.amount, waiter.user, state) {
            // Another one that has room is served first; it then wakes the rest.
            case nil: return waiter.number == number
            case .share: break
            case .total where isPrivileged(waiter.user): return false
            case .total: isTotalAwaited = true
            }
            blocked.insert(waiter.user)
        }
        return false
    }

    func release(_ amount: Int, of user: UInt32) { state.change { add(-amount, to: user, &$0) } }
    func held(by user: UInt32) -> Int { state.withLock { $0.held[user, default: 0] } }

    var sum: Int { state.withLock { $0.sum } }

    private func add(_ amount: Int, to user: UInt32, _ state: inout State) {
        let held = state.held[user, default: 0] + amount
        state.held[user] = held == 0 ? nil : held
        state.sum += amount
    }

    private func check(_ amount: Int, of user: UInt32, _ state: State) throws(ProtocolError) {
        switch shortage(amount, user, state) {
        case nil: return
        case .share: throw .limit("\(name)PerPeer", "a peer has at most \(share) \(things)")
        case .total: throw .limit(name, "all peers together have at most \(total) \(things)")
        }
    }

    private enum Shortage { case share, total }

    private func shortage(_ amount: Int, _ user: UInt32, _ state: borrowing State) -> Shortage? {
        if amount > share - state.held[user, default: 0] { return .share }
        return amount > total - (isPrivileged(user) ? 0 : total / 32) - state.sum ? .total : nil
    }

    /// Whether the reserve is for `user`. The last is the watchdog's, whose VM shows whether the
    /// server works.
    private func isPrivileged(_ user: UInt32) -> Bool {
        user == 0 || user == geteuid() || user == .max
    }
}

/// An amount that was charged, and is released with this object.
final class BudgetCharge: Sendable {
    private let amount: Int
    private let user: UInt32
    private let budget: Budget

    init(_ amount: Int, to user: UInt32, of budget: Budget) {
        (self.amount, self.user, self.budget) = (amount, user, budget)
    }

    deinit { budget.release(amount, of: user) }
}

/// What the peers of a service hold.
struct Budgets: Sendable {
    let connections, threads, vms, slots, memories, memoryBytes, subscriptions, observers: Budget
    /// Descriptors of requests that are not finished, and of replies that are not read.
    let passedDescriptors: Budget
    /// Bytes of replies that are encoded or unread, beyond what each connection may have.
    let unreadReplyBytes: Budget
    /// Bytes of lines, and of requests that are executed.
    let requestBytes: Budget
    /// Bytes of events that are not sent.
    let eventBytes: Budget
    let dirtyBytes: Budget
    /// Bytes that the kernel allocates for the slots of KVM VMs.
    let kernelMemory: Budget
    let receipts: ReceiptBudget
    let receiptBytesPerPeer: Int
    let hostPages = UInt64(max(sysconf(Int32(_SC_PHYS_PAGES)), 1))

    init(_ limits: ServiceLimits) {
        let named = limits.named
        connections = Budget("connections", of: "connections", named)
        threads = Budget("threads", of: "threads", named)
        vms = Budget("vms", of: "VMs", named)
        slots = Budget("slots", of: "slots", named)
        memories = Budget("memories", of: "memory objects", named)
        memoryBytes = Budget("memoryBytes", of: "bytes of memory objects", named)
        subscriptions = Budget("subscriptions", of: "subscriptions", named)
        observers = Budget("observers", of: "observers", named)
        passedDescriptors = Budget(
            "passedDescriptors", of: "descriptors in requests and unread replies", named)
        unreadReplyBytes = Budget("unreadReplyBytes", of: "bytes of replies", named)
        requestBytes = Budget("requestBytes", of: "bytes of requests", named)
        eventBytes = Budget("eventBytes", of: "bytes of events", named)
        dirtyBytes = Budget("dirtyBytes", of: "bytes of dirty bits", named)
        kernelMemory = Budget("kernelMemory", of: "bytes of kernel memory for slots", named)
        receipts = ReceiptBudget(bytes: limits.receiptBytes)
        receiptBytesPerPeer = limits.receiptBytesPerPeer
    }

    /// Those that `metrics.get` shows as numbers, in its order.
    var shown: [Budget] {
        [
            vms, slots, memories, connections, threads, observers, passedDescriptors, requestBytes,
            unreadReplyBytes, eventBytes, dirtyBytes, kernelMemory,
        ]
    }
}
