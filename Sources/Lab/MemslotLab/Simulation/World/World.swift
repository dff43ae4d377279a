import Glibc
import MemslotProtocol
import MemslotService
package import MemslotSimulator
import MemslotTestKit
package import Memslots

/// Everything that a simulation is made of: the real table and service, and what is known of them.
// Sendable: touched by the thread with the baton alone, which the handing of it orders.
final class World: @unchecked Sendable {
    let options: SimulationOptions
    let shape: MachineShape
    let wiring: Wiring
    let scheduler: BatonScheduler
    let simulator: SimulatedBackend
    let gate = VCPUGate()
    let service = MemslotService()
    private(set) var table: MemslotTable
    private(set) var hooks: [WatchedHook] = []
    var observations: [Observation] = []

    /// The name of the VM that the service has.
    static let vm = "vm"

    // What is known.

    /// What is really installed.
    var installed: [Memslot] = []
    /// What was last told to be committed.
    var active: [Memslot] = []
    var generation = Generation(0)
    var arrays: [Generation: [Memslot]] = [Generation(0): []]
    var transaction = TransactionRecord()
    var faults = FaultPlan()
    var events = EventLedger()
    var dirty: DirtyLedger
    /// How many vCPUs are in the guest.
    var guests = 0
    /// The generation that each registered reader looks at.
    var stays: [String: Generation] = [:]
    /// Whether the operator has let vCPUs run on a failed table.
    var isReleased = false
    /// Actors that may still submit.
    var submitters = 0
    /// When somebody who has to be waited for was last seen inside, in virtual nanoseconds.
    var lastStay: UInt64 = 0

    var counts = SimulationReport.Counts()
    var trace: [String] = []
    private(set) var breach: Breach?

    init(_ options: SimulationOptions, _ wiring: Wiring) throws(SimulationError) {
        self.options = options
        self.wiring = wiring
        shape = MachineShape(seed: options.seed)
        scheduler = BatonScheduler(
            ChoiceSource(options.choices, seed: options.seed, schedule: options.schedule))
        simulator = SimulatedBackend(
            capabilities: Capabilities(addressSpaces: UInt32(shape.spaces)),
            dirtyLogProtection: shape.dirtyLogProtection)
        dirty = DirtyLedger(startsFull: shape.dirtyLogProtection.startsFull)
        let backend = WatchedBackend(simulator, wiring.backend(simulator))
        do throws(InvalidArray) {
            table = try MemslotTable(backend: backend, vcpus: wiring.hold(gate))
        } catch {
            throw .unusable(error.message)
        }
        backend.world = self
        try wire()
    }

    private func wire() throws(SimulationError) {
        hooks = (0...shape.hooks).map { WatchedHook(number: $0, self) }
        for hook in hooks { table.add(wiring.hook(hook)) }
        do throws(ReentryError) {
            // First, so that it is known of before anybody else is told.
            let observation = try table.observe { [unowned self] in note($0) }.observation
            observations = [observation]
        } catch {
            throw .unusable(error.message)
        }
        do throws(ProtocolError) {
            try service.register(
                table: table, as: Self.vm, memories: ["ram": Self.mapping], simulator: simulator)
        } catch {
            throw .unusable(error.message)
        }
        do throws(ReentryError) {
            let stalling = StallingObserver(self)
            observations.append(try table.observe { stalling.tell($0) }.observation)
        } catch {
            throw .unusable(error.message)
        }
    }

    private static let mapping = NamedMapping(
        address: MachineShape.memory, size: .pages(UInt64(MachineShape.hostPages)))

    /// Lets go of what holds the world in turn.
    func dispose() {
        observations = []
        for hook in hooks { table.remove(hook) }
        hooks = []
        scheduler.watch = BatonScheduler.Watch()
        do throws(ProtocolError) { try service.unregister(Self.vm) } catch {
            // It goes with the service.
            return
        }
    }

    /// Whether actors begin nothing new.
    var isOver: Bool { breach != nil || scheduler.steps >= options.steps }

    /// Whether `disturbance` may happen.
    func has(_ disturbance: Disturbance) -> Bool { !options.without.contains(disturbance) }

    /// A stream of random numbers for `name`.
    func random(_ name: String) -> SeededRandom { SeededRandom(seed: options.seed, name) }

    /// Lets `milliseconds` pass for the running actor, or less, when `key` is woken.
    func sleep(milliseconds: Int, for key: ObjectIdentifier? = nil) {
        scheduler.sleep(until: scheduler.time + UInt64(milliseconds) * 1_000_000, for: key)
    }

    /// Adds to the trace, and to its hash.
    func note(_ text: String) {
        scheduler.hash.fold(text)
        guard options.keepsTrace else { return }
        trace.append("\(scheduler.steps) \(scheduler.running): \(text)")
    }

    /// Says that something does not hold. The first is told; the run winds down.
    func report(_ invariant: Breach.Invariant, _ message: @autoclosure () -> String) {
        guard breach == nil else { return }
        breach = Breach(
            invariant: invariant, message: message(), actor: scheduler.running,
            step: scheduler.steps)
        note("breach: \(invariant.rawValue)")
    }

    /// Says that `invariant` does not hold unless `condition` does.
    func check(
        _ condition: Bool, _ invariant: Breach.Invariant, _ message: @autoclosure () -> String
    ) {
        if !condition { report(invariant, message()) }
    }
}

/// Why there could be no simulation.
package enum SimulationError: Error, Hashable, Sendable {
    /// The table or the service would not take its parts.
    case unusable(String)
    /// The seed has no such actor.
    case unknownActor(String)

    /// A sentence that says why.
    package var message: String {
        switch self {
        case .unusable(let reason): "the machine can't be put together: \(reason)"
        case .unknownActor(let name): "this seed has no actor \"\(name)\""
        }
    }
}

/// The parts that a simulation is put together of, for tests that put a broken one in.
///
/// A simulation that finds nothing proves something only if it would find what is there.
package struct Wiring {
    /// What carries the calls out for the table, given the machine that really has them.
    package var backend: (SimulatedBackend) -> any MemslotBackend = { $0 }
    /// What holds vCPUs out for the table, given the gate that they enter through.
    package var hold: (VCPUGate) -> any VCPUHold = { $0 }
    /// What stands between the table and a hook.
    package var hook: (any MemslotHook) -> any MemslotHook = { $0 }
    /// How readers read.
    package var reader: any ReadingWay = GatedReader()
    /// What a subscriber finds in its queue.
    package var delivery: ([[UInt8]]) -> [[UInt8]] = { $0 }
    /// What the table tells of a transaction, for those who are told by the world.
    package var receipt: (Receipt) -> Receipt = { $0 }

    /// The product as it is.
    package init() {}
}

/// A way to read the table.
package protocol ReadingWay: Sendable {
    /// Runs `body` with what the table is.
    func read(_ table: MemslotTable, as name: String, _ body: (TableSnapshot) -> Void)
}

/// Reads through the array's gate and queue.
package struct GatedReader: ReadingWay {
    package init() {}

    package func read(
        _ table: MemslotTable, as name: String, _ body: (TableSnapshot) -> Void
    ) {
        table.read(as: name, body)
    }
}
