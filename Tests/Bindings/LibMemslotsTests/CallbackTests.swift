import CMemslots
import LibMemslots
import Testing

/// What the C functions below have been called with. Each test has its own as their context.
private final class Diary {
    var lines: [String] = []
    var veto = false
    var table = memslots_table()

    static func of(_ context: UnsafeMutableRawPointer?) -> Diary {
        // A context that is lost is written into a diary that nobody reads.
        context.map { Unmanaged<Diary>.fromOpaque($0).takeUnretainedValue() } ?? Diary()
    }

    var context: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }
}

private func functions(for diary: Diary) -> memslots_hook_functions {
    var functions = sized(memslots_hook_functions.init, \.struct_size)
    functions.context = diary.context
    functions.prepare = { context, change, reason, capacity in
        let diary = Diary.of(context)
        diary.lines.append("prepare \(change?.pointee.kind ?? .max)")
        guard diary.veto else { return 0 }
        for (place, byte) in "not today".utf8.enumerated() where place < capacity {
            reason?[place] = CChar(byte)
        }
        return 1
    }
    functions.commit = { context, change in
        Diary.of(context).lines.append("commit \(change?.pointee.after.slot ?? .max)")
        let again = memslots_submit(Diary.of(context).table, nil, 0, nil, nil)
        Diary.of(context).lines.append("inside \(again)")
    }
    functions.finish = { context, _ in Diary.of(context).lines.append("finish") }
    functions.abort = { context, _ in Diary.of(context).lines.append("abort") }
    functions.release = { context in Diary.of(context).lines.append("release") }
    return functions
}

@Suite("callbacks of the C interface")
struct CallbackTests {
    @Test("a hook is told of each change, can refuse, and is released once it is removed")
    func hook() throws {
        let table = try SimulatedTable()
        let diary = Diary()
        diary.table = table.handle
        var (hook, told) = (memslots_hook(), functions(for: diary))
        #expect(memslots_hook_add(table.handle, &told, &hook) == MEMSLOTS_OK)
        #expect(table.submit(slot(3, at: 0)) == MEMSLOTS_OK)
        #expect(
            diary.lines == [
                "prepare \(MEMSLOTS_ADDED)", "commit 3", "inside \(MEMSLOTS_REENTRANT)", "finish",
            ])
        diary.lines = []
        diary.veto = true
        #expect(table.submit() == MEMSLOTS_REJECTED)
        #expect(lastMessage().contains("not today"))
        #expect(diary.lines == ["prepare \(MEMSLOTS_REMOVED)"])
        diary.lines = []
        #expect(memslots_hook_remove(hook) == MEMSLOTS_OK)
        #expect(diary.lines == ["release"])
        #expect(memslots_hook_remove(hook) == MEMSLOTS_BAD_HANDLE)
        #expect(table.submit() == MEMSLOTS_OK)
        #expect(diary.lines == ["release"])
    }

    @Test("an observer is told in order, from the generation that it was given")
    func observer() throws {
        let table = try SimulatedTable()
        let diary = Diary()
        #expect(table.submit(slot(0, at: 0)) == MEMSLOTS_OK)
        var (from, observation) = (UInt64(0), memslots_observation())
        let begun = memslots_observe(
            table.handle,
            { context, event in
                guard let event = event?.pointee else { return }
                Diary.of(context).lines.append(
                    "\(event.kind) \(event.previous_generation) \(event.generation)")
            }, { Diary.of($0).lines.append("release") }, diary.context, &from, &observation)
        #expect(begun == MEMSLOTS_OK)
        #expect(from == 1)
        #expect(table.submit() == MEMSLOTS_OK)
        #expect(memslots_simulator_fail(table.handle, 0, 12, 1) == MEMSLOTS_OK)
        #expect(table.submit(slot(0, at: 0)) == MEMSLOTS_ROLLED_BACK)
        #expect(memslots_observation_end(observation) == MEMSLOTS_OK)
        #expect(table.submit(slot(0, at: 0)) == MEMSLOTS_OK)
        #expect(
            diary.lines == [
                "\(MEMSLOTS_EVENT_COMMITTED) 1 2", "\(MEMSLOTS_EVENT_ROLLED_BACK) 2 2", "release",
            ])
    }

    @Test("a function runs inside the gate, and can't submit from there")
    func guarded() throws {
        let table = try SimulatedTable()
        let diary = Diary()
        diary.table = table.handle
        let ran = memslots_guarded(
            table.handle, "loader",
            { context in
                let again = memslots_submit(Diary.of(context).table, nil, 0, nil, nil)
                Diary.of(context).lines.append("inside \(again)")
            }, nil, diary.context)
        #expect(ran == MEMSLOTS_OK)
        #expect(diary.lines == ["inside \(MEMSLOTS_REENTRANT)"])
        #expect(memslots_guarded(table.handle, nil, nil, nil, nil) == MEMSLOTS_BAD_ARGUMENT)
    }
}
