import CMemslots
import LibMemslots
import Testing

/// The calls of the C functions below. Each test has its own log, which is their context.
private final class CallLog {
    var lines: [String] = []
    var veto = false
    var table = memslots_table()

    static func of(_ context: UnsafeMutableRawPointer?) -> CallLog {
        // Calls without a context go to a log that no test reads.
        context.map { Unmanaged<CallLog>.fromOpaque($0).takeUnretainedValue() } ?? CallLog()
    }

    var context: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }
}

private func functions(for log: CallLog) -> memslots_hook_functions {
    var functions = sized(memslots_hook_functions.init, \.struct_size)
    functions.context = log.context
    functions.prepare = { context, change, reason, capacity in
        let log = CallLog.of(context)
        log.lines.append("prepare \(change?.pointee.kind ?? .max)")
        guard log.veto else { return 0 }
        for (place, byte) in "not today".utf8.enumerated() where place < capacity {
            reason?[place] = CChar(byte)
        }
        return 1
    }
    functions.commit = { context, change in
        CallLog.of(context).lines.append("commit \(change?.pointee.after.slot ?? .max)")
        let again = memslots_submit(CallLog.of(context).table, nil, 0, nil, nil)
        CallLog.of(context).lines.append("inside \(again)")
    }
    functions.finish = { context, _ in CallLog.of(context).lines.append("finish") }
    functions.abort = { context, _ in CallLog.of(context).lines.append("abort") }
    functions.release = { context in CallLog.of(context).lines.append("release") }
    return functions
}

@Suite("callbacks of the C interface")
struct CallbackTests {
    @Test("a hook receives each change, can veto, and is released after its removal")
    func hook() throws {
        let table = try SimulatedTable()
        let log = CallLog()
        log.table = table.handle
        var (hook, callbacks) = (memslots_hook(), functions(for: log))
        #expect(memslots_hook_add(table.handle, &callbacks, &hook) == MEMSLOTS_OK)
        #expect(table.submit(slot(3, at: 0)) == MEMSLOTS_OK)
        #expect(
            log.lines == [
                "prepare \(MEMSLOTS_ADDED)", "commit 3", "inside \(MEMSLOTS_REENTRANT)", "finish",
            ])
        log.lines = []
        log.veto = true
        #expect(table.submit() == MEMSLOTS_REJECTED)
        #expect(lastMessage().contains("not today"))
        #expect(log.lines == ["prepare \(MEMSLOTS_REMOVED)"])
        log.lines = []
        #expect(memslots_hook_remove(hook) == MEMSLOTS_OK)
        #expect(log.lines == ["release"])
        #expect(memslots_hook_remove(hook) == MEMSLOTS_BAD_HANDLE)
        #expect(table.submit() == MEMSLOTS_OK)
        #expect(log.lines == ["release"])
    }

    @Test("an observer receives events in order, beginning after its generation")
    func observer() throws {
        let table = try SimulatedTable()
        let log = CallLog()
        #expect(table.submit(slot(0, at: 0)) == MEMSLOTS_OK)
        var (from, observation) = (UInt64(0), memslots_observation())
        let code = memslots_observe(
            table.handle,
            { context, event in
                guard let event = event?.pointee else { return }
                CallLog.of(context).lines.append(
                    "\(event.kind) \(event.previous_generation) \(event.generation)")
            }, { CallLog.of($0).lines.append("release") }, log.context, &from, &observation)
        #expect(code == MEMSLOTS_OK)
        #expect(from == 1)
        #expect(table.submit() == MEMSLOTS_OK)
        #expect(memslots_simulator_fail(table.handle, 0, 12, 1) == MEMSLOTS_OK)
        #expect(table.submit(slot(0, at: 0)) == MEMSLOTS_ROLLED_BACK)
        #expect(memslots_observation_end(observation) == MEMSLOTS_OK)
        #expect(table.submit(slot(0, at: 0)) == MEMSLOTS_OK)
        #expect(
            log.lines == [
                "\(MEMSLOTS_EVENT_COMMITTED) 1 2", "\(MEMSLOTS_EVENT_ROLLED_BACK) 2 2", "release",
            ])
    }

    @Test("a function inside the gate cannot submit")
    func guarded() throws {
        let table = try SimulatedTable()
        let log = CallLog()
        log.table = table.handle
        let code = memslots_guarded(
            table.handle, "loader",
            { context in
                let again = memslots_submit(CallLog.of(context).table, nil, 0, nil, nil)
                CallLog.of(context).lines.append("inside \(again)")
            }, nil, log.context)
        #expect(code == MEMSLOTS_OK)
        #expect(log.lines == ["inside \(MEMSLOTS_REENTRANT)"])
        #expect(memslots_guarded(table.handle, nil, nil, nil, nil) == MEMSLOTS_BAD_ARGUMENT)
    }
}
