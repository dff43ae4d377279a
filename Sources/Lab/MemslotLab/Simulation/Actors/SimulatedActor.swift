import MemslotTestKit
import Memslots

/// Something that acts on the table by itself: a thread of the simulation.
protocol SimulatedActor: AnyObject {
    /// What the trace calls it, and what it draws its random numbers by.
    var name: String { get }

    /// Acts until the world is over. Runs on a thread of its own, when the scheduler lets it.
    func run()
}

extension World {
    /// The actor of the seed that is called `name`.
    func actor(_ name: String) throws(SimulationError) -> any SimulatedActor {
        guard shape.actors.contains(name), let kind = name.split(separator: "-").first else {
            throw .unknownActor(name)
        }
        switch kind {
        case "client": return DirectClient(name, self)
        case "wire": return WireClient(name, self)
        case "vcpu": return VirtualCPU(name, self)
        case "reader": return Reader(name, self)
        case "fast": return FastReader(name, self)
        case "dirty": return DirtyLogReader(name, self)
        case "faults": return Saboteur(name, self)
        case "subscriber": return Subscriber(name, self)
        case "witness": return Witness(name, self)
        default: return Operator(name, self)
        }
    }
}

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

/// Lets backend calls fail.
final class Saboteur: SimulatedActor {
    let name: String
    private let world: World
    private var random: SeededRandom

    init(_ name: String, _ world: World) {
        (self.name, self.world) = (name, world)
        random = world.random(name)
    }

    func run() {
        while !world.isOver {
            let (fault, kind) = draw()
            if world.has(kind) {
                world.faults.armed = fault
                world.note("armed \(fault)")
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
