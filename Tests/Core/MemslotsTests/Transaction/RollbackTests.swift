import MemslotTestKit
import Testing

@testable import Memslots

@Suite("a failure is undone")
struct RollbackTests {
    /// A table on `old`, with some bits written and some of them carried over already.
    private func table(
        on old: [Memslot], startsFull: Bool, keepsBits: Bool, random: inout SeededRandom
    ) throws -> (ModelBackend, MemslotTable) {
        var capabilities = wideCapabilities
        capabilities.dirtyLogStartsFull = startsFull
        let backend = ModelBackend(
            old, capabilities: capabilities, keepsBitsWhenRead: keepsBits)
        let table = try MemslotTable(backend: backend, installed: old)
        for round in 0..<2 {
            for slot in old where slot.isLogging {
                let pages = (0..<slot.pageCount).filter { _ in Bool.random(using: &random) }
                backend.write(Array(pages), to: slot.assignedKey)
            }
            if round == 0 { _ = try table.dirtyPages() }
        }
        return (backend, table)
    }

    @Test(
        "at every call, leaving slots, generation and dirty bits as before",
        arguments: [(false, false), (false, true), (true, false), (true, true)])
    func everywhere(startsFull: Bool, keepsBits: Bool) throws {
        var arrays = RandomArrays(seed: 8)
        var wrong: [String] = []
        var rolledBack = 0
        for round in 0..<150 {
            arrays.backings = UInt64(1 + round % 2)
            let old = arrays.next()
            let new = arrays.near(old)
            let count = Plan(MemslotDiff(from: old.byKey, to: new.byKey)).operations.count
            for index in 0..<count {
                let (backend, table) = try table(
                    on: old, startsFull: startsFull, keepsBits: keepsBits,
                    random: &arrays.random)
                let bits = try table.dirtyPages()
                backend.refuse(at: index)
                // Held out from the beginning, so that no new log can have more than was written.
                let options = SubmitOptions(quiesce: .always)
                if case .rolledBack(let rollback)? = table.refusal(of: new, options: options) {
                    rolledBack += 1
                    if rollback.errno != .outOfMemory || rollback.operation != index {
                        wrong.append("\(round)/\(index): \(rollback)")
                    }
                } else {
                    wrong.append("\(round)/\(index): not rolled back")
                }
                if backend.slots != old.byKey { wrong.append("\(round)/\(index): slots") }
                if table.snapshot().generation != Generation(0) { wrong.append("generation") }
                if table.snapshot().array.slots != old.byKey { wrong.append("array") }
                if try table.dirtyPages() != bits { wrong.append("\(round)/\(index): bits") }
                if !backend.illegal.isEmpty { wrong.append("\(backend.illegal)") }
                backend.refuse()
                if let error = table.refusal(of: new) { wrong.append("again: \(error)") }
                if backend.slots != new.byKey { wrong.append("\(round)/\(index): again") }
            }
        }
        #expect(wrong.isEmpty)
        #expect(rolledBack > 200)
    }

    @Test("also one of a plan beside the guest, with what the guest wrote meanwhile")
    func besideTheGuest() throws {
        let old = slot(0, at: 0, pages: 4, host: 0x900, flags: .logDirtyPages)
        let backend = ModelBackend([old])
        let table = try MemslotTable(backend: backend, installed: [old])
        let alias = slot(1, at: 8, pages: 2, host: 0x902, flags: .logDirtyPages)
        backend.state.withLock { state in
            state.refusals = [1: .outOfMemory]
            state.beforeCall = { [weak backend] index in
                // Written through the alias, which goes away again.
                if index == 1 { backend?.write([1], to: alias.assignedKey) }
            }
        }
        #expect(throws: SubmitError.self) { try table.submit([old, alias, slot(2, at: 20)]) }
        #expect(backend.slots == [old])
        #expect(try table.dirtyPages() == [old.assignedKey: [3]])
    }

    @Test("a dirty log that can't be read is a rollback without an operation")
    func logRefused() throws {
        let old = slot(0, at: 0, flags: .logDirtyPages)
        let backend = ModelBackend([old])
        let table = try MemslotTable(backend: backend, installed: [old])
        backend.write([0], to: old.assignedKey)
        backend.state.withLock { $0.logRefusal = .badAddress }
        #expect(
            throws: SubmitError.rolledBack(.init(errno: .badAddress, operation: nil, call: nil))
        ) { try table.submit([]) }
        backend.state.withLock { $0.logRefusal = nil }
        #expect(backend.calls.isEmpty)
        #expect(try table.dirtyPages() == [old.assignedKey: [0]])
    }

    @Test("a failed undo fails the table, reports what is installed, and can be recovered")
    func failed() throws {
        let old = (0..<3).map { slot($0, at: UInt64($0), flags: .logDirtyPages) }
        var wrong: [String] = []
        // Three deletes; the third fails, then the first or the second undo.
        for undo in [3, 4] {
            let backend = ModelBackend(old)
            let table = try MemslotTable(backend: backend, installed: old)
            for slot in old { backend.write([0], to: slot.assignedKey) }
            backend.refuse(at: 2, undo, with: .ioError)
            if case .failed(let failure)? = table.refusal(of: []) {
                if failure != table.failure { wrong.append("not noted") }
                if failure.installed != backend.slots { wrong.append("installed") }
                if failure.operation != 2 || failure.undoErrno != .ioError { wrong.append("error") }
            } else {
                wrong.append("not failed")
            }
            #expect(table.refusal(of: old) == table.failure.map { .failed($0) })
            #expect(throws: SubmitError.self) { try table.plan([slot(0, at: 0, pages: 0)]) }
            let failure = try #require(table.failure)
            #expect(throws: DirtyLogError.failed(failure)) {
                try table.dirtyLog(of: old[0].assignedKey)
            }
            // Still broken, then fixed.
            backend.refuse(at: 0, with: .outOfMemory)
            #expect(throws: SubmitError.self) { try table.recover() }
            #expect(table.failure?.undoErrno == .outOfMemory)
            backend.refuse()
            try table.recover()
            #expect(table.failure == nil)
            #expect(backend.slots == old)
            #expect(try table.dirtyPages().values.allSatisfy { $0 == [0] })
            #expect(table.snapshot().generation == Generation(0))
            try table.submit([])
            #expect(backend.illegal.isEmpty)
        }
        #expect(wrong.isEmpty)
    }
}
