import MemslotTestKit
import Memslots

/// Recovers a failed table, and lets vCPUs go before that now and then. The last to end.
final class Operator: SimulatedActor {
    let name: String
    private let world: World
    private var random: SeededRandom

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
        while !world.isOver || world.submitters > 0 || world.table.failure != nil {
            world.sleep(milliseconds: random.draw(1...10))
            if world.isOver { world.faults.armed = nil }
            guard world.table.failure != nil else { continue }
            if random.once(in: 3) { release() }
            if random.once(in: 2) { recover() }
        }
    }

    private func release() {
        world.note("releases vCPUs")
        world.isReleased = true
        world.table.releaseVCPUs()
    }

    private func recover() {
        if random.once(in: 2) { world.faults.armed = nil }
        do throws(SubmitError) {
            try world.table.recover()
            world.counts.recoveries += 1
            world.isReleased = false
            world.answer(.recovered, world.generation)
        } catch {
            world.note("recovery: \(error.kind)")
            switch error {
            case .failed:
                world.counts.failures += 1
                world.answer(.failed, world.generation)
            case .quiesceTimeout: return
            default: world.report(.oneAnswer, "a recovery ends with \(error.kind)")
            }
        }
    }
}
