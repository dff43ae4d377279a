import MemslotTestKit
import MemslotVhostUser
import Memslots

/// A vhost-user back end that follows the table, and a model of the memory that it must have. It
/// refuses, dies, lies or is late as drawn. In `prepare` that is a veto, later never an error.
// Sendable: only the thread with the baton uses it.
final class WatchedDevice: FollowingBackEnd, @unchecked Sendable {
    // The world owns its back end.
    private unowned let world: World
    private var random: SeededRandom
    /// The model: the array in force.
    private var slots: [Memslot] = []
    private var isInTransaction = false

    init(_ world: World) throws(VhostUserError) {
        self.world = world
        random = world.random("back end")
        try super.init(wired: world.wiring.observer)
    }

    override func prepare(_ changes: TransactionChanges) throws(HookVeto) {
        world.scheduler.yield()
        isInTransaction = true
        let before = peer.state.withLock { $0 }
        let fault = before.isOver || !world.has(.backEnd) ? nil : draw()
        if let fault { fail(fault.kind, at: fault.message) }
        let isLate = fault?.kind == .isSilent
        // No other deadline passes, so that a run repeats.
        deadline = { isLate ? Deadline(nanoseconds: 1) : .never }
        do throws(HookVeto) { try super.prepare(changes) } catch {
            let hasFailed = peer.state.withLock { $0.hasFailed }
            world.check(hasFailed, .backEndFollows, "a veto without a fault: \(error.reason)")
            world.transaction.vetoes += 1
            end()
            throw error
        }
        let hasFailed = peer.state.withLock { state in
            // Later it would be waited for.
            if isLate { state.fault = nil }
            return state.hasFailed && !before.hasFailed
        }
        world.check(
            !hasFailed || fault?.kind == .diesAfterwards, .backEndFollows,
            "accepted, though the back end failed")
    }

    private func draw() -> (message: Int, kind: BackEndFault)? {
        guard random.once(in: 6), let kind = BackEndFault.allCases.randomElement(using: &random)
        else { return nil }
        world.record("the back end \(kind)")
        // With another message than the first, an earlier one could be late too.
        return (kind == .isSilent ? 0 : random.draw(0...5), kind)
    }

    override func finish(_ changes: TransactionChanges) {
        world.scheduler.yield()
        super.finish(changes)
        slots = changes.after
        end()
    }

    override func abort(_ changes: TransactionChanges) {
        world.scheduler.yield()
        super.abort(changes)
        end()
    }

    private func end() {
        isInTransaction = false
        checkTable()
        disarm()
    }

    func checkTable() {
        if let fault = fault(under: slots) {
            world.report(.backEndFollows, "\(fault); the array is \(slots)")
        }
    }

    func reconnectIfLost() {
        guard isLost, !isInTransaction else { return }
        do throws(VhostUserError) { try reconnect() } catch {
            return world.report(.backEndFollows, "not reconnected: \(error.message)")
        }
        world.counts[.reconnections] += 1
        world.record("reconnects the back end")
        checkTable()
    }
}

/// Replaces the back end when it is lost.
final class BackEndKeeper: SimulatedActor {
    override func run() {
        while !world.isOver {
            world.sleep(milliseconds: random.draw(5...40))
            world.backEnd?.reconnectIfLost()
        }
    }
}
