import MemslotScenario
import MemslotVhostUser
import Memslots

/// Follows slots without real memory: their file is made up, with user addresses as offsets.
class FollowingBackEnd: TransactionHook, @unchecked Sendable {
    let name = "back end"
    // Replaced between two transactions.
    private(set) var peer: ScriptedBackEnd
    let observer: VhostUserObserver
    private let hook: any TransactionHook
    /// The number of messages when the last transaction was prepared.
    private(set) var prepared = 0

    /// Until when a transaction may take to prepare, instead of the submit's deadline.
    var deadline: () -> Deadline = { .after(.seconds(60)) }

    /// - Parameter wired: returns the hook to call, given the observer.
    init(wired: (VhostUserObserver) -> any TransactionHook = { $0 }) throws(VhostUserError) {
        peer = try ScriptedBackEnd()
        observer = try VhostUserObserver(
            name: name, frontEnd: peer.frontEnd, offer: peer.offer, descriptor: { _ in 0 })
        hook = wired(observer)
    }

    deinit { peer.frontEnd.close() }

    func begin(with snapshot: TableSnapshot) throws(HookVeto) {
        guard let empty = try? MemslotTable(backend: OfflineBackend()) else { return }
        try hook.begin(with: empty.snapshot())
        let first = TransactionChanges(
            changes: [], before: [], after: snapshot.array.slots, deadline: .never)
        try hook.prepare(backed(first))
        hook.finish(backed(first))
    }

    func prepare(_ changes: TransactionChanges) throws(HookVeto) {
        defer { prepared = received }
        do throws(HookVeto) { try hook.prepare(backed(changes)) } catch {
            // It may not have read the message yet that it does not answer.
            peer.state.withLock { if $0.fault?.kind == .isSilent { $0.hasFailed = true } }
            throw error
        }
    }

    func commit(_ changes: TransactionChanges) { hook.commit(backed(changes)) }
    func finish(_ changes: TransactionChanges) { hook.finish(backed(changes)) }
    func abort(_ changes: TransactionChanges) { hook.abort(backed(changes)) }
    func dirtyPages() -> [DirtyPages] { hook.dirtyPages() }

    private func backed(_ changes: TransactionChanges) -> TransactionChanges {
        TransactionChanges(
            changes: changes.changes, before: changes.before.map(\.backed),
            after: changes.after.map(\.backed), deadline: deadline())
    }

    var received: Int { peer.state.withLock { $0.received } }

    /// Lets it fail at a message from now on.
    func fail(_ kind: BackEndFault, at message: Int) {
        peer.state.withLock { $0.fault = ($0.received + message, kind) }
    }

    /// Lets it fail no more, unless it is lost.
    func disarm() { peer.state.withLock { ($0.fault, $0.hasFailed) = (nil, $0.isOver || isLost) } }

    var isLost: Bool { observer.backEndState.name == "lost" }

    /// Returns how the back end's table is wrong if it should have `slots`.
    func fault(under slots: [Memslot]) -> String? {
        let state = peer.state.withLock { $0 }
        if let broken = state.broken { return broken }
        if case .lost(let error) = observer.backEndState {
            return state.hasFailed ? nil : "lost without a fault: \(error.message)"
        }
        return peer.has(slots) ? nil : "has \(state.regions)"
    }

    /// Replaces a back end that is lost, between two transactions.
    func reconnect() throws(VhostUserError) {
        let next = try ScriptedBackEnd()
        try observer.reconnect(next.frontEnd, offer: next.offer, by: .never)
        peer = next
    }
}

extension Memslot {
    fileprivate var backed: Memslot {
        Memslot(
            id: id, addressSpace: addressSpace, guestPhysicalAddress: guestPhysicalAddress,
            size: size, userspaceAddress: userspaceAddress, flags: flags,
            memory: MemoryReference(object: 1, offset: ByteCount(userspaceAddress.rawValue)),
            guestMemfd: guestMemfd)
    }
}
