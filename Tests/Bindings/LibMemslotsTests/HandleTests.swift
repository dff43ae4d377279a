import CMemslots
import LibMemslots
import Testing

@Suite("handles of the C interface")
struct HandleTests {
    @Test("every function refuses an invented handle")
    func garbage() throws {
        let table = try SimulatedTable()
        let value = table.handle.value
        // Flipping a low bit may give the handle of a test that runs in parallel.
        let flips = (12..<64).map { value ^ (1 << UInt64($0)) }
        for garbage in [0, 1, .max, 0xdead_beef, value &+ 1 << 24] + flips {
            let handle = memslots_table(value: garbage)
            #expect(memslots_close(handle) == MEMSLOTS_BAD_HANDLE)
            #expect(memslots_submit(handle, nil, 0, nil, nil) == MEMSLOTS_BAD_HANDLE)
            #expect(memslots_recover(handle) == MEMSLOTS_BAD_HANDLE)
            #expect(memslots_vcpu_kick(memslots_vcpu(value: garbage)) == MEMSLOTS_BAD_HANDLE)
            #expect(memslots_hook_remove(memslots_hook(value: garbage)) == MEMSLOTS_BAD_HANDLE)
        }
        #expect(try table.now().generation == 0)
    }

    @Test("a handle of another kind is refused")
    func otherKind() throws {
        let table = try SimulatedTable()
        #expect(
            memslots_reader_close(memslots_reader(value: table.handle.value))
                == MEMSLOTS_BAD_HANDLE)
        #expect(lastMessage().contains("reader"))
    }

    @Test("a closed handle stays closed when its place is reused")
    func closed() throws {
        var first = memslots_table()
        #expect(memslots_open_simulator(nil, &first) == MEMSLOTS_OK)
        #expect(memslots_close(first) == MEMSLOTS_OK)
        #expect(memslots_close(first) == MEMSLOTS_BAD_HANDLE)
        let others = try (0..<8).map { _ in try SimulatedTable() }
        #expect(memslots_submit(first, nil, 0, nil, nil) == MEMSLOTS_BAD_HANDLE)
        for other in others { #expect(other.handle.value != first.value) }
    }

    @Test("a thousand uses of one place have a thousand handles")
    func reuse() throws {
        var seen = Set<UInt64>()
        for _ in 0..<1_000 {
            var handle = memslots_table()
            try #require(memslots_open_simulator(nil, &handle) == MEMSLOTS_OK)
            seen.insert(handle.value)
            try #require(memslots_close(handle) == MEMSLOTS_OK)
        }
        #expect(seen.count == 1_000)
    }

    @Test("every code has a name; other numbers have none")
    func names() {
        let names = (-18...2).map { String(cString: memslots_code_name($0)!) }
        #expect(Set(names).count == names.count)
        #expect(!names.contains("unknown"))
        #expect(String(cString: memslots_code_name(-19)!) == "unknown")
        #expect(String(cString: memslots_code_name(3)!) == "unknown")
    }
}
