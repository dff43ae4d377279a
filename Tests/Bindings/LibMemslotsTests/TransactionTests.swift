import CMemslots
import LibMemslots
import Testing

@Suite("transactions over the C interface")
struct TransactionTests {
    @Test("a submit applies the whole array and fills a receipt")
    func submit() throws {
        let table = try SimulatedTable()
        var filled = receipt()
        let array = [slot(.max, at: 8), slot(7, at: 0, pages: 4)]
        #expect(memslots_submit(table.handle, array, 2, nil, &filled) == MEMSLOTS_OK)
        defer { memslots_receipt_release(&filled) }
        #expect(filled.generation == 1)
        #expect(filled.outcome == UInt32(MEMSLOTS_COMMITTED))
        #expect(filled.added == 2)
        #expect(filled.operations == 2)
        #expect(filled.retired)

        var operations = [memslots_operation](repeating: memslots_operation(), count: 4)
        var count = 0
        #expect(memslots_receipt_operations(&filled, &operations, 4, &count) == MEMSLOTS_OK)
        #expect(count == 2)
        #expect(operations[0].call == UInt32(MEMSLOTS_CREATE))
        #expect(operations[0].before.size == 0)
        var slots = [memslots_slot](repeating: memslots_slot(), count: 2)
        #expect(memslots_receipt_slots(&filled, &slots, 2, &count) == MEMSLOTS_OK)
        #expect(slots.map(\.slot) == [0, 7])
        #expect(try table.now().ids == [0, 7])
    }

    @Test("a list that is too small gets the entries that fit, and the count")
    func tooSmall() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(0, at: 0), slot(1, at: 1), slot(2, at: 2)) == MEMSLOTS_OK)
        var list = [memslots_slot](repeating: memslots_slot(), count: 2)
        var count = 0
        #expect(memslots_get(table.handle, &list, 2, &count, nil) == MEMSLOTS_TOO_SMALL)
        #expect(count == 3)
        #expect(list.map(\.slot) == [0, 1])
        #expect(memslots_get(table.handle, nil, 0, &count, nil) == MEMSLOTS_TOO_SMALL)
        #expect(memslots_get(table.handle, nil, 1, &count, nil) == MEMSLOTS_BAD_ARGUMENT)
        #expect(memslots_get(table.handle, &list, 2, nil, nil) == MEMSLOTS_BAD_ARGUMENT)
        #expect(memslots_get(table.handle, &list, -1, &count, nil) == MEMSLOTS_BAD_ARGUMENT)
    }

    @Test("an invalid array is refused with a message for every violation")
    func violations() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(0, at: 0, pages: 2), slot(1, at: 1)) == MEMSLOTS_INVALID_ARRAY)
        #expect(memslots_error_errno() == 17)
        var list = [memslots_violation](repeating: memslots_violation(), count: 8)
        var count = 0
        #expect(memslots_error_violations(&list, 0, &count) == MEMSLOTS_TOO_SMALL)
        #expect(memslots_error_violations(&list, 8, &count) == MEMSLOTS_OK)
        #expect(count == 1)
        let kind = withUnsafeBytes(of: list[0].kind) {
            String(decoding: $0.prefix(7), as: UTF8.self)
        }
        #expect(kind == "overlap")
        #expect(list[0].kernel_errno == 17)
        #expect(list[0].other_index >= 0)
        let message = withUnsafeBytes(of: list[0].message) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        #expect(message == lastMessage())
        #expect(try table.now().generation == 0)
    }

    @Test("compare-and-swap: a wrong generation is a conflict")
    func conflict() throws {
        let table = try SimulatedTable()
        var options = sized(memslots_submit_options.init, \.struct_size)
        options.has_expected_generation = true
        options.expected_generation = 4
        let array = [slot(0, at: 0)]
        #expect(memslots_submit(table.handle, array, 1, &options, nil) == MEMSLOTS_CONFLICT)
        options.expected_generation = 0
        #expect(memslots_submit(table.handle, array, 1, &options, nil) == MEMSLOTS_OK)
    }

    @Test("a failed operation is undone; a failed undo is reported and recovered")
    func faults() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(0, at: 0), slot(1, at: 1)) == MEMSLOTS_OK)
        #expect(memslots_simulator_fail(table.handle, 1, 12, 1) == MEMSLOTS_OK)
        #expect(table.submit(slot(0, at: 4), slot(1, at: 5)) == MEMSLOTS_ROLLED_BACK)
        #expect(memslots_error_errno() == 12)
        #expect(try table.now().generation == 1)

        #expect(memslots_simulator_fail(table.handle, 1, 12, 1) == MEMSLOTS_OK)
        #expect(memslots_simulator_fail(table.handle, 2, 12, 1) == MEMSLOTS_OK)
        #expect(table.submit(slot(0, at: 4), slot(1, at: 5)) == MEMSLOTS_FAILED)
        var (list, count) = ([memslots_slot](repeating: memslots_slot(), count: 4), 0)
        #expect(memslots_failure(table.handle, &list, 4, &count) == MEMSLOTS_OK)
        var (real, realCount) = (list, 0)
        #expect(memslots_simulator_installed(table.handle, &real, 4, &realCount) == MEMSLOTS_OK)
        #expect(count == realCount)
        #expect(
            list.prefix(count).map(\.guest_physical_address)
                == real.prefix(count).map(\.guest_physical_address))
        #expect(memslots_recover(table.handle) == MEMSLOTS_OK)
        #expect(memslots_failure(table.handle, &list, 4, &count) == MEMSLOTS_NOT_SUPPORTED)
        #expect(memslots_release_vcpus(table.handle) == MEMSLOTS_OK)
    }

    @Test("a plan fills a receipt and changes nothing")
    func plan() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(0, at: 0, pages: 2)) == MEMSLOTS_OK)
        var filled = receipt()
        let halves = [slot(0, at: 0), slot(1, at: 1)]
        #expect(memslots_plan(table.handle, halves, 2, nil, &filled) == MEMSLOTS_OK)
        #expect(filled.operations == 3)
        #expect(filled.quiesced)
        #expect(String(cString: try #require(memslots_receipt_hold_reason(&filled))) == "overlap")
        memslots_receipt_release(&filled)
        memslots_receipt_release(&filled)
        #expect(memslots_receipt_hold_reason(&filled) == nil)
        #expect(memslots_plan(table.handle, nil, 0, nil, &filled) == MEMSLOTS_OK)
        #expect(!filled.quiesced && memslots_receipt_hold_reason(&filled) == nil)
        memslots_receipt_release(&filled)
        var count = 0
        #expect(memslots_receipt_slots(&filled, nil, 0, &count) == MEMSLOTS_BAD_HANDLE)
        #expect(try table.now().ids == [0])
    }

    @Test("continuity is an option, also for a caller that does not know it")
    func continuity() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(0, at: 0), slot(1, at: 1)) == MEMSLOTS_OK)
        var options = sized(memslots_submit_options.init, \.struct_size)
        func isHeld() throws -> Bool {
            var filled = receipt()
            defer { memslots_receipt_release(&filled) }
            #expect(memslots_plan(table.handle, nil, 0, &options, &filled) == MEMSLOTS_OK)
            return filled.quiesced
        }
        #expect(try isHeld())
        options.continuity = true
        #expect(try !isHeld())
        // A structure of the first version ends before the member.
        options.struct_size = 24
        #expect(try isHeld())
        options.struct_size = 23
        #expect(
            memslots_plan(table.handle, nil, 0, &options, nil) == MEMSLOTS_BAD_ARGUMENT)
        options.struct_size = MemoryLayout<memslots_submit_options>.size
        options.always_quiesce = true
        #expect(
            memslots_plan(table.handle, nil, 0, &options, nil) == MEMSLOTS_BAD_ARGUMENT)
    }

    @Test("private ranges are an option, and are read back")
    func privateRanges() throws {
        let table = try SimulatedTable()
        var limits = sized(memslots_capabilities.init, \.struct_size)
        #expect(memslots_get_capabilities(table.handle, &limits) == MEMSLOTS_OK)
        #expect(limits.memory_attributes)
        var options = sized(memslots_submit_options.init, \.struct_size)
        func submit(_ pages: UInt64...) -> Int32 {
            let ranges = pages.map {
                memslots_range(guest_physical_address: $0 * 4_096, size: 4_096)
            }
            return ranges.withUnsafeBufferPointer { list in
                options.private_ranges = list.baseAddress
                options.private_range_count = list.count
                return memslots_submit(table.handle, nil, 0, &options, nil)
            }
        }
        func ranges() -> [UInt64] {
            var list = [memslots_range](repeating: memslots_range(), count: 4)
            var (count, generation) = (0, UInt64(0))
            let code = memslots_get_private_ranges(
                table.handle, &list, list.count, &count, &generation)
            #expect(code == MEMSLOTS_OK)
            return [generation] + list.prefix(count).map { $0.guest_physical_address + $0.size }
        }
        // Without the flag the list is not read.
        #expect(submit(3) == MEMSLOTS_OK && ranges() == [0])
        options.sets_private_ranges = true
        #expect(submit(2, 1, 9) == MEMSLOTS_OK && ranges() == [1, 3 * 4_096, 10 * 4_096])
        #expect(submit(1, 1) == MEMSLOTS_INVALID_ARRAY)
        var (violation, count) = (memslots_violation(), 0)
        #expect(memslots_error_violations(&violation, 1, &count) == MEMSLOTS_OK)
        #expect(violation.index == 1 && violation.slot == UInt32.max)
        let one = memslots_range(guest_physical_address: 0, size: 4_096)
        withUnsafePointer(to: one) { list in
            // In C it is 2^64 - 1.
            (options.private_ranges, options.private_range_count) = (list, -1)
            #expect(memslots_submit(table.handle, nil, 0, &options, nil) == MEMSLOTS_BAD_ARGUMENT)
        }
        options.private_ranges = nil
        options.private_range_count = 1
        #expect(memslots_submit(table.handle, nil, 0, &options, nil) == MEMSLOTS_BAD_ARGUMENT)
        #expect(submit() == MEMSLOTS_OK && ranges() == [2])
    }

    @Test("dirty bits are reported, survive a split, and end in the receipt")
    func dirtyLog() throws {
        let table = try SimulatedTable()
        let log = MEMSLOTS_LOG_DIRTY_PAGES
        #expect(table.submit(slot(0, at: 0, pages: 100, flags: log)) == MEMSLOTS_OK)
        #expect(memslots_simulator_touch(table.handle, 0, 70 * 4_096, 2 * 4_096) == MEMSLOTS_OK)
        var (words, dirty) = ([UInt64](repeating: .max, count: 2), UInt64(0))
        #expect(
            memslots_dirty_log(table.handle, 0, 0, 0, 0, false, &words, 2, &dirty) == MEMSLOTS_OK)
        #expect(words == [0, 0b11 << 6])
        #expect(dirty == 2)
        #expect(
            memslots_dirty_log(table.handle, 0, 0, 64, 36, true, &words, 1, nil) == MEMSLOTS_OK)
        #expect(words[0] == 0b11 << 6)

        #expect(memslots_simulator_touch(table.handle, 0, 99 * 4_096, 4_096) == MEMSLOTS_OK)
        let halves = [
            slot(0, at: 0, pages: 50, flags: log), slot(1, at: 50, pages: 50, flags: log),
        ]
        #expect(memslots_submit(table.handle, halves, 2, nil, nil) == MEMSLOTS_OK)
        #expect(
            memslots_dirty_log(table.handle, 0, 1, 0, 0, false, &words, 2, &dirty) == MEMSLOTS_OK)
        #expect(words[0] == 1 << 49)

        var last = receipt()
        let plain = [slot(0, at: 0, pages: 100)]
        #expect(memslots_submit(table.handle, plain, 1, nil, &last) == MEMSLOTS_OK)
        var (runs, count) = ([memslots_dirty_run](repeating: memslots_dirty_run(), count: 2), 0)
        #expect(memslots_receipt_dirty_runs(&last, &runs, 2, &count) == MEMSLOTS_OK)
        #expect(count == 1 && last.unmapped_dirty_runs == 1)
        #expect(runs[0].slot.slot == 1)
        #expect(runs[0].first_page == 49 && runs[0].page_count == 1)
        memslots_receipt_release(&last)
    }

    @Test("a dirty log of a missing slot or page is refused")
    func badDirtyLog() throws {
        let table = try SimulatedTable()
        #expect(table.submit(slot(0, at: 0, pages: 100)) == MEMSLOTS_OK)
        var word: UInt64 = 0
        func ask(_ slot: UInt32, _ first: UInt64, _ count: UInt64, _ room: Int) -> Int {
            Int(memslots_dirty_log(table.handle, 0, slot, first, count, false, &word, room, nil))
        }
        #expect(ask(3, 0, 0, 1) == MEMSLOTS_NO_SUCH_SLOT)
        #expect(ask(0, 0, 1, 1) == MEMSLOTS_NO_SUCH_SLOT)
        #expect(ask(0, 3, 1, 1) == MEMSLOTS_BAD_ARGUMENT)
        #expect(ask(0, 64, .max, 1) == MEMSLOTS_BAD_ARGUMENT)
        #expect(ask(0, 128, 0, 1) == MEMSLOTS_BAD_ARGUMENT)
        #expect(ask(0, 0, 0, 1) == MEMSLOTS_TOO_SMALL)
        #expect(memslots_simulator_touch(table.handle, 0, 1 << 40, 1) == MEMSLOTS_NOT_MAPPED)
    }

    @Test("structures of a wrong size are refused, longer ones with a zero rest accepted")
    func sizes() throws {
        let table = try SimulatedTable()
        var options = memslots_submit_options()
        #expect(memslots_submit(table.handle, nil, 0, &options, nil) == MEMSLOTS_BAD_ARGUMENT)
        options.struct_size = .max
        #expect(memslots_submit(table.handle, nil, 0, &options, nil) == MEMSLOTS_BAD_ARGUMENT)

        var longer = [UInt64](repeating: 0, count: 8)
        longer[0] = 64
        func submit() -> Int {
            longer.withUnsafeBytes {
                Int(
                    memslots_submit(
                        table.handle, nil, 0,
                        $0.baseAddress?.assumingMemoryBound(to: memslots_submit_options.self),
                        nil))
            }
        }
        #expect(submit() == MEMSLOTS_OK)
        longer[7] = 1
        #expect(submit() == MEMSLOTS_BAD_ARGUMENT)
        var simulator = sized(memslots_simulator_options.init, \.struct_size)
        simulator.guest_physical_bits = 70
        var handle = memslots_table()
        #expect(memslots_open_simulator(&simulator, &handle) == MEMSLOTS_BAD_ARGUMENT)
        #expect(lastMessage().contains("guest_physical_bits"))
        #expect(memslots_open_simulator(nil, nil) == MEMSLOTS_BAD_ARGUMENT)
        #expect(memslots_submit(table.handle, nil, 3, nil, nil) == MEMSLOTS_BAD_ARGUMENT)
    }

    @Test("the limits of the VM can be read")
    func capabilities() throws {
        let table = try SimulatedTable()
        var allowed = sized(memslots_capabilities.init, \.struct_size)
        #expect(memslots_get_capabilities(table.handle, &allowed) == MEMSLOTS_OK)
        #expect(allowed.max_slots == 32_764)
        #expect(allowed.flags == 3)
        var vcpu = memslots_vcpu()
        var options = sized(memslots_vcpu_options.init, \.struct_size)
        var page = 0
        let opened = withUnsafeMutablePointer(to: &page) { pointer in
            options.kvm_run = UnsafeMutableRawPointer(pointer)
            return memslots_vcpu_open(table.handle, &options, &vcpu)
        }
        #expect(opened == MEMSLOTS_NOT_SUPPORTED)
        #expect(memslots_open_kvm(-1, nil, nil) == MEMSLOTS_BAD_ARGUMENT)
        var handle = memslots_table()
        #expect(memslots_open_kvm(-1, nil, &handle) == MEMSLOTS_SYSTEM)
        #expect(!lastMessage().isEmpty)
        // Version 0.2 had no private ranges.
        var older = sized(memslots_kvm_options.init, \.struct_size)
        older.private_range_count = 1 << 25
        #expect(memslots_open_kvm(-1, &older, &handle) == MEMSLOTS_BAD_ARGUMENT)
        older.struct_size = 40
        #expect(memslots_open_kvm(-1, &older, &handle) == MEMSLOTS_SYSTEM)
        older.struct_size = 39
        #expect(memslots_open_kvm(-1, &older, &handle) == MEMSLOTS_BAD_ARGUMENT)
    }
}
