import Testing

@testable import Memslots

/// How a recovery holds vCPUs, and how everything that waits is woken.
@Suite("vCPUs in a recovery")
struct RecoveryHoldTests {
    /// A hold that writes down how it is used.
    private final class RecordingHold: VCPUHold {
        struct State {
            var records: [String] = []
            var staying: [String] = []
            var isExclusive = false
        }
        let state = Locked(State())

        func record(_ text: String) { state.withLock { $0.records.append(text) } }
        func removeRecords() -> [String] {
            state.withLock { state in
                defer { state.records = [] }
                return state.records
            }
        }

        func beginHolding() { record("begin") }
        func endHolding() { record("end") }
        func waitUntilHeld(by deadline: Deadline) -> [String] {
            record("wait")
            return state.withLock { $0.staying }
        }
        func exclusively(_ body: () -> Void) {
            state.withLock { $0.isExclusive = true }
            body()
            state.withLock { $0.isExclusive = false }
        }
    }

    private let hold = RecordingHold()
    private let backend: ModelBackend
    private let table: MemslotTable
    private let outside = Shared(0)

    /// A table that has failed: of two deletes the second was refused, and so was the undo.
    init() throws {
        let array = [slot(0, at: 0), slot(1, at: 1)]
        backend = ModelBackend(array)
        table = try MemslotTable(backend: backend, installed: array, vcpus: hold)
        let (hold, outside) = (hold, outside)
        backend.state.withLock {
            $0.beforeCall = { _ in
                if !hold.state.withLock({ $0.isExclusive }) { outside.update { $0 += 1 } }
            }
        }
        backend.refuse(at: 1, 2)
        #expect(table.refusal(of: []) != nil)
        #expect(table.failure?.installed == [array[1]])
        #expect(hold.removeRecords() == ["begin", "wait"])
        backend.refuse()
    }

    @Test("are held out, waited for, and let in when it is done; calls are made while they are")
    func recovers() throws {
        try table.recover()
        #expect(hold.removeRecords() == ["begin", "wait", "end"])
        #expect(outside.value == 0)
        #expect(table.failure == nil)
        #expect(backend.slots == [slot(0, at: 0), slot(1, at: 1)])
    }

    @Test("that stay are named; those that were held stay so, and those let go are let go again")
    func stays() throws {
        hold.state.withLock { $0.staying = ["cpu1"] }
        #expect(throws: SubmitError.quiesceTimeout(vcpus: ["cpu1"], readers: [])) {
            try table.recover()
        }
        #expect(hold.removeRecords() == ["begin", "wait"])
        #expect(backend.slots == [slot(1, at: 1)])

        table.releaseVCPUs()
        table.releaseVCPUs()
        #expect(hold.removeRecords() == ["end"])
        #expect(throws: SubmitError.self) { try table.recover() }
        #expect(hold.removeRecords() == ["begin", "wait", "end"])
    }

    @Test("a recovery that fails publishes what is installed, and one that succeeds its end")
    func published() throws {
        let reported = Shared<[String]>([])
        let observation = try table.observe { event in
            switch event {
            case .failed(let failure, _):
                reported.update { $0.append("failed with \(failure.installed.count)") }
            case .recovered: reported.update { $0.append("recovered") }
            default: break
            }
        }.observation
        backend.refuse(at: 0)
        #expect(throws: SubmitError.self) { try table.recover() }
        backend.refuse()
        try table.recover()
        #expect(reported.value == ["failed with 1", "recovered"])
        withExtendedLifetime(observation) {}
    }
}
