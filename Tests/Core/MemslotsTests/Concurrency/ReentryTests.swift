import Testing

@testable import Memslots

@Suite("re-entry is an error or works, and never a deadlock", .serialized)
struct ReentryTests {
    /// Everything that can be tried from inside; a list of what did not go as documented.
    private static func faults(of table: MemslotTable, in role: ThreadRole) -> [String] {
        var faults: [String] = []
        let transaction = ReentryError(role, tried: .transaction)
        func check(_ isRight: Bool, _ what: String) { if !isRight { faults.append(what) } }

        check(table.refusal(of: [slot(7, at: 70)]) == .reentrant(transaction), "submit")
        do throws(SubmitError) {
            _ = try table.plan([])
            faults.append("plan")
        } catch {
            check(error == .reentrant(transaction), "plan: \(error)")
        }
        do throws(SubmitError) {
            try table.recover()
            faults.append("recover")
        } catch {
            check(error == .reentrant(transaction), "recover: \(error)")
        }
        do throws(DirtyLogError) {
            _ = try table.dirtyLog(of: SlotKey(id: SlotID(0)))
            faults.append("dirtyLog")
        } catch {
            check(error == .reentrant(transaction), "dirtyLog: \(error)")
        }
        do throws(ReentryError) {
            _ = try table.observe { _ in }
            faults.append("observe")
        } catch {
            check(error == transaction, "observe: \(error)")
        }
        let entry = table.vcpuGate?.register(name: "inner", kick: {})
        do throws(ReentryError) {
            try entry?.run { faults.append("entered") }
            faults.append("enterGuest")
        } catch {
            check(error == ReentryError(role, tried: .enterGuest), "enterGuest: \(error)")
        }
        check(table.read { _ in 5 } == 5, "read")
        check(table.failure == nil && table.history().count >= 0, "look")
        return faults
    }

    private final class Hook: MemslotHook {
        let name = "re-enters"
        var needsQuiescence: Bool { false }
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        func prepare(_ change: MemslotChange) throws(HookVeto) { body() }
        func commit(_ change: MemslotChange) { body() }
        func finish(_ change: MemslotChange) { body() }
        func abort(_ change: MemslotChange) { body() }
    }

    private func run(_ body: @escaping @Sendable () -> Void) -> Bool { TestThread(body).join() }

    @Test("from every phase of a hook", arguments: SubmitOptions.Quiesce.allCases)
    func hook(quiesce: SubmitOptions.Quiesce) throws {
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend)
        let faults = Shared<[String]>([])
        let calls = Shared(0)
        table.add(
            Hook { [unowned table] in
                let found = Self.faults(of: table, in: .transaction)
                faults.update { $0 += found }
                calls.update { $0 += 1 }
            })
        let options = SubmitOptions(quiesce: quiesce)
        let isDone = run {
            #expect(table.refusal(of: [slot(0, at: 0)], options: options) == nil)
            backend.refuse(at: 0)
            #expect(table.refusal(of: [slot(0, at: 1)], options: options) != nil)
        }
        #expect(isDone)
        #expect(calls.value == 5)
        #expect(faults.value == [])
    }

    @Test("from an observer")
    func observer() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let faults = Shared<[String]>(["never called"])
        let (_, observation) = try table.observe { [unowned table] _ in
            let found = Self.faults(of: table, in: .transaction)
            faults.update { $0 = found }
        }
        let isDone = run { #expect(table.refusal(of: [slot(0, at: 0)]) == nil) }
        #expect(isDone)
        #expect(faults.value == [])
        withExtendedLifetime(observation) {}
    }

    @Test("from a reader's closure, and from the vCPU gate, also with a reader inside that")
    func readerAndVCPU() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let gate = try #require(table.vcpuGate)
        let entry = gate.register(name: "outer", kick: {})
        let isDone = run {
            table.read { _ in #expect(Self.faults(of: table, in: .reader) == []) }
            try? entry.run { #expect(Self.faults(of: table, in: .vcpu) == []) }
            try? entry.run {
                table.read { _ in #expect(Self.faults(of: table, in: .reader) == []) }
            }
        }
        #expect(isDone)
        #expect(table.refusal(of: [slot(0, at: 0)]) == nil)
    }

    @Test("a thread is known through other tables, and only for its own")
    func otherTables() throws {
        let one = try MemslotTable(backend: ModelBackend())
        let two = try MemslotTable(backend: ModelBackend())
        let isDone = run {
            one.read { _ in
                #expect(two.refusal(of: [slot(0, at: 0)]) == nil)
                two.read { _ in #expect(Self.faults(of: one, in: .reader) == []) }
            }
        }
        #expect(isDone)
    }
}
