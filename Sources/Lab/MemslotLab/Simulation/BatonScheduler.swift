import Dispatch
import Memslots
import Synchronization

/// Runs one thread at a time. The one with the baton chooses the next, without another thread.
// Sendable: only the thread with the baton uses the state, and passing the baton orders accesses.
final class BatonScheduler: ThreadScheduler, @unchecked Sendable {
    /// What the threads use, which is checked after each step.
    weak var world: World?
    private(set) var steps = 0
    /// As ``steps``, for the thread that watches progress.
    private let progress = Atomic<Int>(0)
    private(set) var time: UInt64 = 1_000_000_000
    /// The number of the product's waits that timed out.
    private(set) var timeouts = 0
    /// The number of threads in a `serial` section.
    private(set) var transactions = 0
    private(set) var choices: ChoiceSource
    var hash = TraceHash()

    private var fibers: [Fiber] = []
    private var current = 0
    private var isAbandoned = false
    /// Whether threads run in turns. Afterwards a single thread checks the world.
    private var isRunning = true
    private let ended = DispatchSemaphore(value: 0)
    /// The number of threads that share a section, or -1 for an exclusive one.
    private var sections: [ObjectIdentifier: Int] = [:]

    init(_ choices: ChoiceSource) { self.choices = choices }
    var running: String { fibers.isEmpty ? "" : fibers[current].name }
    func spawn(_ body: @escaping @Sendable () -> Void) { add("table", body) }

    func add(_ name: String, _ body: @escaping () -> Void) {
        let fiber = Fiber(name)
        fibers.append(fiber)
        fiber.start { [self] in
            Scheduling.run(under: self, body)
            fiber.state = .ended
            passOn(from: nil)
        }
    }

    /// Runs all threads to their end, or until none can run. Returns `false` if there was no step
    /// for `patience` seconds: a thread waits for something that the scheduler does not know.
    func run(patience: Int) -> Bool {
        guard let first = fibers.first else { return true }
        var seen = 0
        first.resume()
        while ended.wait(timeout: .now() + .seconds(patience)) == .timedOut {
            let steps = progress.load(ordering: .relaxed)
            if steps == seen { return false }
            seen = steps
        }
        isRunning = false
        return true
    }

    var haveAllEnded: Bool { fibers.allSatisfy { $0.state == .ended } }
    func abandon() { isAbandoned = true }

    // MARK: - Calls from threads

    func now() -> UInt64 {
        time += 100
        return time
    }

    func yield() { if isRunning { passOn(from: fibers[current]) } }

    func wait(for key: ObjectIdentifier, until deadline: Deadline) -> Bool {
        let isInTime = wait(Fiber.State.waiting(key: key, until: deadline))
        if !isInTime { timeouts += 1 }
        return isInTime
    }

    /// Suspends the running thread until `moment`, or until `key` is woken.
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

    /// Runs `body` exclusively for `key`, where the product holds a lock across steps.
    func exclusively(_ key: ObjectIdentifier, _ body: () -> Void) {
        yield()
        while sections[key, default: 0] != 0 { _ = wait(for: key, until: .never) }
        sections[key] = -1
        body()
        sections[key] = 0
        wake(key)
    }

    func enter(_ key: ObjectIdentifier, _ kind: SectionKind) {
        yield()
        if kind == .barrier, sections[key, default: 0] != 0 {
            world?.report(.barrierFree, "a barrier would wait for a thread inside")
        }
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

    /// Makes a step and passes the baton; returns when `fiber` has it again.
    private func passOn(from fiber: Fiber?) {
        steps += 1
        progress.store(steps, ordering: .relaxed)
        time += 1_000
        world?.checkStep()
        guard let next = isAbandoned ? nil : choose() else {
            ended.signal()
            // The thread stays here: a broken run can't end in an orderly way.
            fiber?.awaitBaton()
            return
        }
        hash.fold(UInt64(next))
        let me = current
        current = next
        if fiber != nil && me == next { return }
        fibers[next].resume()
        fiber?.awaitBaton()
    }

    /// Chooses the next thread; `nil` if all have ended or wait forever.
    private func choose() -> Int? {
        expire()
        var ready = readyFibers()
        var earliest = earliestDeadline()
        if ready.isEmpty {
            guard let moment = earliest else {
                let stuck = fibers.filter { $0.state != .ended }.map(\.name)
                guard !stuck.isEmpty else { return nil }
                world?.report(.progress, "deadlock: \(stuck.joined(separator: ", ")) wait")
                return nil
            }
            advance(to: moment)
            ready = readyFibers()
            earliest = earliestDeadline()
        }
        let choice = choices.next(of: ready.count, someWait: earliest != nil)
        if choice == ScheduleChoices.time {
            if let earliest { advance(to: earliest) }
            return readyFibers().first { !ready.contains($0) } ?? ready.first
        }
        return ready[Int(choice) % ready.count]
    }

    /// The threads that can run, beginning with the current one.
    private func readyFibers() -> [Int] {
        fibers.indices.map { (current + $0) % fibers.count }.filter { fibers[$0].state == .ready }
    }

    private func earliestDeadline() -> UInt64? {
        fibers.lazy.compactMap { $0.deadline?.nanoseconds }.min()
    }

    private func advance(to moment: UInt64) {
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

/// A thread of the simulation, which runs while it has the baton.
// Sendable: only the thread with the baton uses the state.
final class Fiber: @unchecked Sendable {
    enum State: Equatable {
        case ready
        case waiting(key: ObjectIdentifier?, until: Deadline)
        case ended
    }

    let name: String
    var state = State.ready
    var hasTimedOut = false
    private let baton = DispatchSemaphore(value: 0)

    init(_ name: String) { self.name = name }

    var deadline: Deadline? {
        guard case .waiting(_, let deadline) = state, deadline != .never else { return nil }
        return deadline
    }

    func isWaiting(for key: ObjectIdentifier) -> Bool {
        if case .waiting(key, _) = state { true } else { false }
    }

    func resume() { baton.signal() }
    func awaitBaton() { baton.wait() }

    /// Starts the thread, which runs `body` once it has the baton.
    func start(_ body: @escaping () -> Void) {
        // Unsafe: the body runs only while the thread has the baton.
        nonisolated(unsafe) let body = body
        do throws(Errno) {
            try OwnThread { [self] in
                awaitBaton()
                body()
            }.detach()
        } catch { preconditionFailure("the process can't create another thread: \(error)") }
    }
}
