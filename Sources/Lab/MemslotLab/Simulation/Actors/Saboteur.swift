import MemslotTestKit
import Memslots

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
