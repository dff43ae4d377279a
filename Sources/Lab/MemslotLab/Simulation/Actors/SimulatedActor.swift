import MemslotTestKit
import Memslots

/// An actor of the simulation: a thread that uses the table.
class SimulatedActor {
    /// The name in the trace, which also selects the actor's random numbers.
    let name: String
    let world: World
    var random: SeededRandom

    required init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    /// Acts until the run is over. Called on a thread of its own, which the scheduler resumes.
    func run() {}
}

extension World {
    /// The actor of one of the shape's names.
    func actor(_ name: String) -> SimulatedActor {
        let type: SimulatedActor.Type =
            switch name.prefix(while: { $0 != "-" }) {
            case "client": DirectClient.self
            case "wire": WireClient.self
            case "vcpu": VirtualCPU.self
            case "reader": Reader.self
            case "fast": FastReader.self
            case "dirty": DirtyLogReader.self
            case "faults": FaultInjector.self
            case "subscriber": Subscriber.self
            case "witness": Witness.self
            case "hostile": HostilePeer.self
            case "backend": BackEndKeeper.self
            default: Operator.self
            }
        return type.init(name, self)
    }
}

/// Recovers a failed table, and sometimes releases vCPUs before. The last actor to end.
final class Operator: SimulatedActor {
    override func run() {
        while !world.isOver || world.submitters > 0 || world.table.failure != nil {
            world.sleep(milliseconds: random.draw(1...10))
            if world.isOver { world.faults.armed = nil }
            guard world.table.failure != nil else { continue }
            if random.once(in: 3) {
                world.record("releases vCPUs")
                world.isReleased = true
                let (active, installed) = (world.active, world.installed)
                world.dirty.released(
                    without: active.filter { $0.isLogging && !installed.contains($0) })
                world.table.releaseVCPUs()
            }
            if random.once(in: 2) { recover() }
        }
    }

    private func recover() {
        if random.once(in: 2) { world.faults.armed = nil }
        do throws(SubmitError) {
            try world.table.recover()
            world.counts[.recoveries] += 1
            world.isReleased = false
            world.expectEvent(.recovered, world.generation)
        } catch {
            world.record("recovery: \(error.kind)")
            switch error {
            case .failed:
                world.counts[.failures] += 1
                world.expectEvent(.failed, world.generation)
            case .quiesceTimeout: return
            default: world.report(.oneAnswer, "a recovery ends with \(error.kind)")
            }
        }
    }
}

final class FaultInjector: SimulatedActor {
    override func run() {
        while !world.isOver {
            let (fault, kind) = draw()
            if world.has(kind) {
                world.faults.armed = fault
                world.record("armed \(fault)")
            }
            world.sleep(milliseconds: random.draw(1...12))
            if random.once(in: 2) { world.faults.armed = nil }
            world.sleep(milliseconds: random.draw(1...12))
        }
        world.faults.armed = nil
    }

    private static let errnos: [Errno] = [.outOfMemory, .fileExists, .invalidArgument, .ioError]

    private func draw() -> (FaultPlan.Fault, Disturbance) {
        let errno = Self.errnos.randomElement(using: &random) ?? .ioError
        let operation = random.draw(0...4)
        let undo = operation + random.draw(1...2)
        switch random.draw(0...9) {
        case 0...3: return (.once(operation: operation, errno), .once)
        case 4...5: return (.undo(operation: operation, undo: undo, errno), .undo)
        case 6...7: return (.persistent(operation: operation, errno), .persistent)
        default: return (.log(errno), .log)
        }
    }
}
