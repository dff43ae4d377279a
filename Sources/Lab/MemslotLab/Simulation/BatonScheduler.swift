import CDispatch
import Dispatch
import Glibc
import Memslots
import Synchronization

/// Runs threads one at a time; which one, is its choice at each step.
///
/// The thread that has the baton chooses who gets it next, so that the scheduler needs no thread.
// Sendable: the state is touched by the thread with the baton alone, which the handing orders.
final class BatonScheduler: ThreadScheduler, @unchecked Sendable {
    /// What it tells the simulation.
    struct Watch {
        /// After each step, on the thread that took it.
        var step: () -> Void = {}
        /// A `barrier` section was entered while others were inside.
        var barrierWaits: () -> Void = {}
        /// No thread can go on any more.
        var deadlock: ([String]) -> Void = { _ in }
    }

    var watch = Watch()
    private(set) var steps = 0
    /// As ``steps``, for the thread that looks whether anything moves.
    private let progress = Atomic<Int>(0)
    private(set) var time: UInt64 = 1_000_000_000
    /// How many waits of the product have ended by their deadline.
    private(set) var timeouts = 0
    /// How many threads are in a `serial` section.
    private(set) var transactions = 0
    private(set) var choices: ChoiceSource
    var hash = TraceHash()

    private var fibers: [Fiber] = []
    private var current = 0
    private var isAbandoned = false
    /// Whether threads take turns; afterwards what is looked at is looked at by one.
    private var isRunning = true
    private let ended = DispatchSemaphore(value: 0)
    /// Who is inside a section: threads that share it, or -1 for one alone.
    private var sections: [ObjectIdentifier: Int] = [:]

    init(_ choices: ChoiceSource) { self.choices = choices }

    /// The name of the thread that runs.
    var running: String { fibers.isEmpty ? "" : fibers[current].name }

    func spawn(_ body: @escaping @Sendable () -> Void) { add("table", body) }

    /// Adds a thread.
    func add(_ name: String, _ body: @escaping () -> Void) {
        let fiber = Fiber(name)
        fibers.append(fiber)
        fiber.start { [self] in
            Scheduling.run(under: self, body)
            fiber.state = .ended
            passOn(from: nil)
        }
    }

    /// Runs all threads to their end, or until none can go on.
    ///
    /// - Returns: whether anything moved within `patience` seconds; else a thread waits for
    ///   something that the scheduler doesn't know.
    func run(patience: Int) -> Bool {
        guard let first = fibers.first else { return true }
        var seen = 0
        first.handBaton()
        while ended.wait(timeout: .now() + .seconds(patience)) == .timedOut {
            let steps = progress.load(ordering: .relaxed)
            if steps == seen { return false }
            seen = steps
        }
        isRunning = false
        return true
    }

    /// Whether every thread came to its end.
    var haveAllEnded: Bool {
        fibers.allSatisfy { if case .ended = $0.state { true } else { false } }
    }

    /// Lets nobody go on; the threads stay where they are.
    func abandon() { isAbandoned = true }

    // MARK: - What threads call

    func now() -> UInt64 {
        time += 100
        return time
    }

    func yield() {
        if isRunning { passOn(from: fibers[current]) }
    }

    func wait(for key: ObjectIdentifier, until deadline: Deadline) -> Bool {
        let isInTime = wait(Fiber.State.waiting(key: key, until: deadline))
        if !isInTime { timeouts += 1 }
        return isInTime
    }

    /// Waits for `key`, if one is given, but not past `time`.
    @discardableResult
    func sleep(until moment: UInt64, for key: ObjectIdentifier? = nil) -> Bool {
        wait(Fiber.State.waiting(key: key, until: Deadline(nanoseconds: moment)))
    }

    private func wait(_ state: Fiber.State) -> Bool {
        let fiber = fibers[current]
        fiber.hasTimedOut = false
        fiber.state = state
        passOn(from: fiber)
        return !fiber.hasTimedOut
    }

    func wake(_ key: ObjectIdentifier) {
        for fiber in fibers where fiber.isWaiting(for: key) { fiber.state = .ready }
    }

    /// Runs `body` in turn with others of `key`, where the product has a lock of its own that is
    /// held over steps.
    func inTurn(_ key: ObjectIdentifier, _ body: () -> Void) {
        yield()
        while sections[key, default: 0] != 0 { _ = wait(for: key, until: .never) }
        sections[key] = -1
        body()
        sections[key] = 0
        wake(key)
    }

    func enter(_ key: ObjectIdentifier, _ kind: SectionKind) {
        yield()
        if kind == .barrier, sections[key, default: 0] != 0 { watch.barrierWaits() }
        while kind == .shared ? sections[key, default: 0] < 0 : sections[key, default: 0] != 0 {
            _ = wait(for: key, until: .never)
        }
        sections[key] = kind == .shared ? sections[key, default: 0] + 1 : -1
        if kind == .serial { transactions += 1 }
    }

    func leave(_ key: ObjectIdentifier, _ kind: SectionKind) {
        sections[key] = kind == .shared ? sections[key, default: 0] - 1 : 0
        if kind == .serial { transactions -= 1 }
        wake(key)
    }

    // MARK: - The choice

    /// Takes a step, and hands the baton on; comes back when `fiber` has it again.
    private func passOn(from fiber: Fiber?) {
        steps += 1
        progress.store(steps, ordering: .relaxed)
        time += 1_000
        watch.step()
        guard let next = isAbandoned ? nil : choose() else {
            ended.signal()
            // Left where it is, for what is broken can't be brought to an end.
            fiber?.awaitBaton()
            return
        }
        hash.fold(UInt64(next))
        let me = current
        current = next
        if fiber != nil && me == next { return }
        fibers[next].handBaton()
        fiber?.awaitBaton()
    }

    /// Who goes on; `nil` where all have ended, or nobody can.
    private func choose() -> Int? {
        expire()
        var ready = readyFibers()
        var earliest = earliestDeadline()
        if ready.isEmpty {
            guard let moment = earliest else { return noteEnd() }
            pass(to: moment)
            ready = readyFibers()
            earliest = earliestDeadline()
        }
        let choice = choices.next(of: ready.count, someWait: earliest != nil)
        if choice == ScheduleChoices.time {
            if let earliest { pass(to: earliest) }
            return readyFibers().first { !ready.contains($0) } ?? ready.first
        }
        return ready[Int(choice) % ready.count]
    }

    private func noteEnd() -> Int? {
        let stuck = fibers.filter { if case .ended = $0.state { false } else { true } }
        if !stuck.isEmpty { watch.deadlock(stuck.map(\.name)) }
        return nil
    }

    /// Those that can run, the one that runs first.
    private func readyFibers() -> [Int] {
        var ready: [Int] = []
        for offset in fibers.indices {
            let index = (current + offset) % fibers.count
            if fibers[index].canRun { ready.append(index) }
        }
        return ready
    }

    private func earliestDeadline() -> UInt64? {
        fibers.lazy.compactMap { $0.deadline?.nanoseconds }.min()
    }

    private func pass(to moment: UInt64) {
        time = max(time, moment)
        expire()
    }

    private func expire() {
        for fiber in fibers {
            guard let deadline = fiber.deadline, deadline.nanoseconds <= time else { continue }
            fiber.state = .ready
            fiber.hasTimedOut = true
        }
    }
}

/// A thread of the simulation: a real one, which runs when it has the baton.
// Sendable: its state is touched by whoever has the baton, alone.
final class Fiber: @unchecked Sendable {
    enum State {
        case ready
        case waiting(key: ObjectIdentifier?, until: Deadline)
        case ended
    }

    let name: String
    var state = State.ready
    /// Whether the last wait ended because there was no time left.
    var hasTimedOut = false
    private let baton = DispatchSemaphore(value: 0)

    init(_ name: String) { self.name = name }

    var canRun: Bool {
        if case .ready = state { true } else { false }
    }

    /// When its wait ends by itself; `nil` where it doesn't.
    var deadline: Deadline? {
        guard case .waiting(_, let deadline) = state, deadline != .never else { return nil }
        return deadline
    }

    func isWaiting(for key: ObjectIdentifier) -> Bool {
        if case .waiting(key, _) = state { true } else { false }
    }

    func handBaton() { baton.signal() }

    func awaitBaton() { baton.wait() }

    private final class Job {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    private static let stackBytes = 512 << 10

    /// Starts the thread, which runs `body` once it has the baton.
    func start(_ body: @escaping () -> Void) {
        let job = Job { [self] in
            awaitBaton()
            body()
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        var thread = pthread_t()
        // Handed to the thread, which takes over this reference.
        let argument = Unmanaged.passRetained(job).toOpaque()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, argument)
        precondition(status == 0, "the process can't have another thread")
    }
}
