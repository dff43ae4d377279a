import Glibc
import MemslotProtocol
package import MemslotService
package import MemslotSimulator
import MemslotTestKit
package import Memslots

/// The real table and service of a simulation, and all that is known about them.
// Sendable: only the thread with the baton uses it, and passing the baton orders accesses.
final class World: @unchecked Sendable {
    let options: SimulationOptions
    let shape: MachineShape
    let wiring: Wiring
    let scheduler: BatonScheduler
    let simulator: SimulatedBackend
    let gate = VCPUGate()
    let service: MemslotService
    private(set) var table: MemslotTable
    private(set) var hooks: [WatchedHook] = []
    private(set) var backEnd: WatchedDevice?
    var observations: [Observation] = []

    static let vm = "vm"

    /// The slots that are really installed.
    var installed: [Memslot] = []
    /// That of the last commit event.
    var generation = Generation(0)
    /// The array of each generation, and its private ranges, ascending and merged.
    var arrays = [Generation(0): (slots: [Memslot](), privateRanges: [GuestRange]())]
    var transaction = TransactionRecord()
    /// What each actor submitted last.
    var submissions: [String: Submission] = [:]
    var faults = FaultPlan()
    var events = EventLedger()
    var dirty: DirtyLedger
    var guests = 0
    /// The generation that each registered reader uses.
    var stays: [String: Generation] = [:]
    /// Whether the operator has released vCPUs on a failed table.
    var isReleased = false
    /// The number of actors that may still submit.
    var submitters = 0
    /// The slots that hostile users hold or ask for.
    var hostileSlots = 0
    /// The last virtual time, in nanoseconds, at which a reader or vCPU was inside.
    var lastStay: UInt64 = 0

    /// The random numbers of the slow observer.
    lazy var stalls = random("observer")

    var counts = Tally<SimulationReport.Count>()
    var trace: [String] = []
    private(set) var breach: Breach?

    init(_ options: SimulationOptions, _ wiring: Wiring) throws(SimulationError) {
        (self.options, self.wiring) = (options, wiring)
        shape = MachineShape(seed: options.seed)
        service = MemslotService(limits: wiring.limits(MachineShape.limits))
        scheduler = BatonScheduler(
            ChoiceSource(options.choices, seed: options.seed, schedule: options.schedule))
        simulator = SimulatedBackend(
            capabilities: Capabilities(addressSpaces: UInt32(shape.spaces)),
            dirtyLogProtection: shape.dirtyLogProtection)
        dirty = DirtyLedger(startsFull: shape.dirtyLogProtection.startsFull)
        let backend = WatchedBackend(simulator, wiring.backend(simulator))
        table = try converting(
            { (error: InvalidArray) in SimulationError.unusable(error.message) },
            MemslotTable(backend: backend, vcpus: wiring.hold(gate)))
        backend.world = self
        try wire()
    }

    private func wire() throws(SimulationError) {
        hooks = (0...shape.hooks).map { WatchedHook(number: $0, self) }
        for hook in hooks { table.add(wiring.hook(hook)) }
        if options.actors?.contains("backend-0") ?? true {
            do {
                let backEnd = try WatchedDevice(self)
                try table.add(backEnd)
                self.backEnd = backEnd
            } catch { throw .unusable("a back end: \(error)") }
        }
        // First, so that the world receives events before all others.
        try observe { [unowned self] in receive($0) }
        let ram = NamedMapping(
            address: MachineShape.memory, size: .pages(UInt64(MachineShape.hostPages)))
        try converting(
            { (error: ProtocolError) in SimulationError.unusable(error.message) },
            service.register(
                table: table, as: Self.vm, memories: ["ram": ram], simulator: simulator))
        try observe { [unowned self] in stall(at: $0) }
    }

    private func observe(_ body: @escaping @Sendable (TableEvent) -> Void) throws(SimulationError) {
        let observed = try converting(
            { (error: ReentryError) in SimulationError.unusable(error.message) },
            table.observe(body))
        observations.append(observed.observation)
    }

    func dispose() {
        observations = []
        for hook in hooks { table.remove(hook) }
        hooks = []
        if let backEnd { table.remove(backEnd) }
        backEnd = nil
        scheduler.world = nil
        // If it can't be, it is released with the world.
        _ = try? service.unregister(Self.vm)
    }

    var active: [Memslot] { arrays[generation]?.slots ?? [] }
    var activePrivateRanges: [GuestRange] { arrays[generation]?.privateRanges ?? [] }
    /// Whether a wait has timed out since the transaction began.
    var hasTimedOut: Bool { scheduler.timeouts > transaction.timeoutsBefore }
    var isOver: Bool { breach != nil || scheduler.steps >= options.steps }
    func has(_ disturbance: Disturbance) -> Bool { !options.without.contains(disturbance) }
    func random(_ name: String) -> SeededRandom { SeededRandom(seed: options.seed, name) }

    /// Suspends the running actor for `milliseconds`, or until `key` is woken.
    func sleep(milliseconds: Int, for key: ObjectIdentifier? = nil) {
        scheduler.sleep(until: scheduler.time + UInt64(milliseconds) * 1_000_000, for: key)
    }

    /// Adds a line to the trace and to its hash.
    func record(_ text: String) {
        scheduler.hash.fold(text)
        guard options.keepsTrace else { return }
        trace.append("\(scheduler.steps) \(scheduler.running): \(text)")
    }

    /// Reports that `invariant` does not hold. The first report ends the run.
    func report(_ invariant: Breach.Invariant, _ message: @autoclosure () -> String) {
        guard breach == nil else { return }
        breach = Breach(
            invariant: invariant, message: message(), actor: scheduler.running,
            step: scheduler.steps)
        record("breach: \(invariant.rawValue)")
    }

    func check(
        _ condition: Bool, _ invariant: Breach.Invariant, _ message: @autoclosure () -> String
    ) {
        if !condition { report(invariant, message()) }
    }
}

package enum SimulationError: Error, Hashable, Sendable {
    case unusable(String)
    case unknownActor(String)

    package var message: String {
        switch self {
        case .unusable(let reason): "the machine can't be created: \(reason)"
        case .unknownActor(let name): "this seed has no actor \"\(name)\""
        }
    }
}

/// The replaceable parts. Tests replace one by a broken part, which the simulation must detect.
package struct Wiring {
    /// The table's backend, given the simulator.
    package var backend: (SimulatedBackend) -> any MemslotBackend = { $0 }
    /// The table's hold, given the gate of the vCPUs.
    package var hold: (VCPUGate) -> any VCPUHold = { $0 }
    /// The hook that the table calls, given the real one.
    package var hook: (any MemslotHook) -> any MemslotHook = { $0 }
    /// The hook of the back end, given the observer.
    package var observer: (any TransactionHook) -> any TransactionHook = { $0 }
    /// How readers read a snapshot of the table.
    package var read: (MemslotTable, _ name: String, (TableSnapshot) -> Void) -> Void = {
        $0.read(as: $1, $2)
    }
    /// The events that a subscriber receives, given those in its queue.
    package var delivery: ([[UInt8]]) -> [[UInt8]] = { $0 }
    /// The service's limits, given what hostile peers know.
    package var limits: (ServiceLimits) -> ServiceLimits = { $0 }
    /// The receipt that the world checks, given the real one.
    package var receipt: (Receipt) -> Receipt = { $0 }

    package init() {}
}
