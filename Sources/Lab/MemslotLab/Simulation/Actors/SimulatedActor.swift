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
