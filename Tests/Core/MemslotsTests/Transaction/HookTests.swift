import Testing

@testable import Memslots

/// Records the calls that it and others get.
private final class Recorder: MemslotHook {
    let name: String
    let needsQuiescence: Bool
    let log: Shared<[String]>
    let vetoed: Shared<SlotKey?> = Shared(nil)

    init(_ name: String, _ log: Shared<[String]>, needsQuiescence: Bool = false) {
        self.name = name
        self.log = log
        self.needsQuiescence = needsQuiescence
    }

    private func record(_ phase: String, _ change: MemslotChange) {
        let what =
            switch change {
            case .added: "+"
            case .removed: "-"
            case .moved: ">"
            case .reflagged: "~"
            }
        log.update { $0.append("\(phase) \(name) \(what)\(change.key)") }
    }

    func prepare(_ change: MemslotChange) throws(HookVeto) {
        record("prepare", change)
        if change.key == vetoed.value { throw HookVeto("not this one") }
    }
    func commit(_ change: MemslotChange) { record("commit", change) }
    func finish(_ change: MemslotChange) { record("finish", change) }
    func abort(_ change: MemslotChange) { record("abort", change) }
}

@Suite("hooks")
struct HookTests {
    private let old = [
        slot(0, at: 0), slot(1, at: 1), slot(2, at: 2), slot(3, at: 3),
    ]
    /// Removes 0, replaces 1, moves 2, reflags 3, adds 4.
    private let new = [
        slot(1, at: 8, pages: 2), slot(2, at: 5), slot(3, at: 3, flags: .logDirtyPages),
        slot(4, at: 6),
    ]
    private let inPlanOrder = ["-0", "-1", ">2", "+1", "+4", "~3"]

    private func table() throws -> (ModelBackend, MemslotTable, Shared<[String]>, [Recorder]) {
        let backend = ModelBackend(old)
        let table = try MemslotTable(backend: backend, installed: old)
        let log = Shared<[String]>([])
        let hooks = [Recorder("a", log), Recorder("b", log)]
        for hook in hooks { table.add(hook) }
        return (backend, table, log, hooks)
    }

    private func all(_ phase: String, _ changes: [String]) -> [String] {
        changes.flatMap { ["\(phase) a \($0)", "\(phase) b \($0)"] }
    }

    @Test("hear every change in plan order, each change all hooks, phase by phase")
    func order() throws {
        let (backend, table, log, _) = try table()
        backend.state.withLock { $0.beforeCall = { _ in log.update { $0.append("call") } } }
        try table.submit(new)
        let calls = Array(repeating: "call", count: 6)
        #expect(
            log.value == all("prepare", inPlanOrder) + calls + all("commit", inPlanOrder)
                + all("finish", inPlanOrder))
    }

    @Test("that refuse end it: those prepared before are aborted, in reverse, and not itself")
    func veto() throws {
        let (backend, table, log, hooks) = try table()
        hooks[0].vetoed.update { $0 = old[2].assignedKey }
        guard case .rejected("a", let change, "not this one")? = table.refusal(of: new) else {
            Issue.record("not rejected")
            return
        }
        #expect(change == .moved(from: old[2], to: new[1]))
        let prepared = all("prepare", ["-0", "-1"])
        let aborted = prepared.reversed().map { $0.replacing("prepare", with: "abort") }
        #expect(log.value == prepared + ["prepare a >2"] + aborted)
        #expect(backend.calls.isEmpty)
        #expect(table.snapshot().generation == Generation(0))
        hooks[0].vetoed.update { $0 = nil }
        #expect(table.refusal(of: new) == nil)
    }

    @Test("are all aborted, in reverse, on a rollback, a timeout and a failure")
    func aborted() throws {
        for refused in [[3], [3, 4]] {
            let (backend, table, log, _) = try table()
            backend.state.withLock { state in
                for index in refused { state.refusals[index] = .ioError }
            }
            #expect(
                table.refusal(of: new)?.kind == (refused.count == 1 ? "rolled-back" : "vm-failed"))
            let prepared = all("prepare", inPlanOrder)
            #expect(
                log.value == prepared
                    + prepared.reversed().map { $0.replacing("prepare", with: "abort") })
        }
        let (_, table, log, _) = try table()
        let gate = try #require(table.vcpuGate)
        let (isInside, mayLeave) = (Signal(), Signal())
        let entry = gate.register(name: "deaf", kick: {})
        let vcpu = TestThread {
            try? entry.run {
                isInside.send()
                mayLeave.wait()
            }
        }
        isInside.wait()
        #expect(
            table.refusal(of: new, options: SubmitOptions(quiesceDeadline: .milliseconds(1)))?.kind
                == "quiesce-timeout")
        #expect(log.value.count == 24)
        mayLeave.send()
        #expect(vcpu.join())
    }

    @Test("hear nothing of an unchanged array, of a plan, and after they were removed")
    func silent() throws {
        let (_, table, log, hooks) = try table()
        let receipt = try table.submit(old, options: SubmitOptions(quiesce: .always))
        #expect(receipt.outcome == .unchanged)
        #expect(receipt.operations.isEmpty && receipt.isOptimal && !receipt.quiesced)
        _ = try table.plan(new)
        #expect(log.value.isEmpty)
        for hook in hooks { table.remove(hook) }
        try table.submit(new)
        #expect(log.value.isEmpty)
    }

    @Test("can ask that vCPUs are held out for an addition")
    func needsQuiescence() throws {
        let table = try MemslotTable(backend: ModelBackend())
        #expect(try !table.submit([slot(0, at: 0)]).quiesced)
        table.add(Recorder("q", Shared([]), needsQuiescence: true))
        #expect(try table.plan([slot(0, at: 0), slot(1, at: 1)]).quiesced)
        #expect(try table.submit([slot(0, at: 0), slot(1, at: 1)]).quiesced)
    }

    @Test("that hold an observation of the table may be removed")
    func holdsObservation() throws {
        final class Watching: MemslotHook {
            let name = "watching"
            var needsQuiescence: Bool { false }
            let observation: Observation
            init(_ observation: Observation) { self.observation = observation }

            func prepare(_ change: MemslotChange) throws(HookVeto) {}
            func commit(_ change: MemslotChange) {}
            func finish(_ change: MemslotChange) {}
            func abort(_ change: MemslotChange) {}
        }
        let table = try MemslotTable(backend: ModelBackend())
        var hook: Watching? = Watching(try table.observe { _ in }.observation)
        if let hook { table.add(hook) }
        let added = table.hooks
        #expect(added.count == 1)
        hook = nil
        let thread = TestThread { for hook in table.hooks { table.remove(hook) } }
        #expect(thread.join())
    }
}
