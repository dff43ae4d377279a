import Synchronization
import Testing

@testable import Memslots

@Suite("registered readers")
struct TableReaderTests {
    private let table: MemslotTable
    /// The table's events about retirement.
    private let reported = Shared<[String]>([])
    private let observation: Observation

    init() throws {
        table = try MemslotTable(backend: ModelBackend(Self.array(0)), installed: Self.array(0))
        let reported = reported
        observation = try table.observe { event in
            switch event {
            case .committed(let receipt, _, _):
                reported.update { $0.append("\(receipt.generation) \(receipt.retired)") }
            case .retired(let generation): reported.update { $0.append("retired \(generation)") }
            default: break
            }
        }.observation
    }

    /// Arrays of four slots whose every address shows which array it is of.
    private static func array(_ number: UInt64) -> [Memslot] {
        (0..<4).map { slot(UInt32($0), at: $0 * 8 + number % 8, host: 0x1000 + $0) }
    }

    private func submit(_ number: UInt64, deadline: Int = 5) throws -> Receipt {
        try table.submit(
            Self.array(number), options: SubmitOptions(quiesceDeadline: .milliseconds(deadline)))
    }

    private func address(_ page: UInt64) -> GuestPhysicalAddress {
        GuestPhysicalAddress(page * 4096)
    }

    /// A reader on a thread of its own, which is inside until it is let go.
    private struct Stay {
        private let thread: TestThread
        private let mayLeave = Signal()

        init(in table: MemslotTable, as name: String, isAbandoned: Bool = false) {
            let (isInside, mayLeave) = (Signal(), mayLeave)
            thread = TestThread {
                let reader = table.makeReader(as: name)
                reader.read { view in
                    let generation = view.generation
                    isInside.send()
                    mayLeave.wait()
                    // There is nothing to look at any more for one that was taken for dead.
                    if isAbandoned { return }
                    #expect(view.generation == generation)
                    let page = generation.rawValue % 8
                    let place = GuestPhysicalAddress(page * 4096)
                    #expect(view.translate(place)?.slot == SlotID(0))
                }
            }
            isInside.wait()
        }

        func end() {
            mayLeave.send()
            #expect(thread.join())
        }
    }

    @Test("see the array that is active, and what is behind an address")
    func sees() throws {
        let reader = table.makeReader(as: "r")
        let first = reader.read { view in
            #expect(view.generation == Generation(0))
            #expect(view.snapshot.array.slots == Self.array(0))
            #expect(view.translate(address(1)) == nil)
            return view.translate(GuestPhysicalAddress(0x8123)).map { found in
                #expect(view.slot(of: found) == Self.array(0)[1])
                return found
            }
        }
        #expect(first?.userspaceAddress == UserspaceAddress(0x100_1123))
        #expect(first?.contiguousSize == ByteCount(0xedd))
        #expect(first?.slot == SlotID(1))
        #expect(first?.isWritable == true)
        // What was hit last in the old array is not hit in the new one.
        #expect(try submit(1).retired)
        reader.read { view in
            #expect(view.generation == Generation(1))
            #expect(view.translate(GuestPhysicalAddress(0x8123)) == nil)
            #expect(view.translate(GuestPhysicalAddress(0x9123))?.slot == SlotID(1))
        }
    }

    @Test("a read within a read sees the same array, and leaving it is not leaving")
    func nested() throws {
        let reader = table.makeReader(as: "r")
        try reader.read { outer throws in
            let submit = TestThread { _ = try? self.submit(1) }
            #expect(submit.join())
            reader.read { inner in
                #expect(inner.generation == Generation(0))
                #expect(inner.translate(address(0)) == outer.translate(address(0)))
            }
            #expect(reported.value == ["1 false"])
            #expect(table.unretiredArrays.map(\.slots) == [Self.array(0)])
            #expect(outer.translate(address(0)) != nil)
        }
        #expect(yieldThread { reported.value == ["1 false", "retired 1"] })
        #expect(reader.read { $0.generation } == Generation(1))
    }

    @Test("one that stays is named; its array is kept, and retirement reported when it leaves")
    func stays() throws {
        let stay = Stay(in: table, as: "device")
        let receipt = try submit(1)
        #expect(receipt.outcome == .committed && !receipt.retired)
        #expect(receipt.readers == ["device"])
        #expect(table.unretiredArrays.map(\.slots) == [Self.array(0)])
        var kept = receipt
        kept.slots = []
        #expect(table.history().last == kept)
        // Others go on, on the new array.
        #expect(table.makeReader(as: "other").read { $0.generation } == Generation(1))
        #expect(table.read { $0.generation } == Generation(1))
        stay.end()
        #expect(yieldThread { reported.value == ["1 false", "retired 1"] })
        #expect(table.unretiredArrays.isEmpty)
        #expect(try submit(2).retired)
        #expect(reported.value.count == 3)
    }

    @Test("several arrays retire in the order of their generations")
    func several() throws {
        let first = Stay(in: table, as: "first")
        #expect(try submit(1).readers == ["first"])
        let second = Stay(in: table, as: "second")
        #expect(try submit(2).readers == ["first", "second"])
        #expect(table.unretiredArrays.map(\.slots) == [Self.array(0), Self.array(1)])
        // The older array is still there, so that nothing is reported.
        second.end()
        #expect(try submit(3).readers == ["first"])
        first.end()
        #expect(yieldThread { reported.value.last == "retired 3" })
        #expect(reported.value == ["1 false", "2 false", "3 false", "retired 3"])
        #expect(table.unretiredArrays.isEmpty)
    }

    @Test("the younger of two that stay holds only its own array")
    func younger() throws {
        let first = Stay(in: table, as: "first")
        _ = try submit(1)
        let second = Stay(in: table, as: "second")
        _ = try submit(2)
        first.end()
        #expect(yieldThread { reported.value.last == "retired 1" })
        #expect(table.unretiredArrays.map(\.slots) == [Self.array(1)])
        second.end()
        #expect(yieldThread { reported.value.last == "retired 2" })
    }

    @Test("one that leaves within the deadline lets the submit return with everything retired")
    func leavesInTime() throws {
        let stay = Stay(in: table, as: "device")
        let receipt = Shared<Receipt?>(nil)
        let submit = TestThread {
            let answer = try? self.submit(1, deadline: 600_000)
            receipt.update { $0 = answer }
        }
        // Swapped already, and the reader waited for.
        #expect(yieldThread { table.snapshot().generation == Generation(1) })
        #expect(table.unretiredArrays.count == 1)
        #expect(receipt.value == nil)
        stay.end()
        #expect(submit.join())
        #expect(receipt.value?.retired == true && receipt.value?.readers == [])
        #expect(reported.value == ["1 true"])
    }

    @Test("what is read stays whole though the thread submits from inside, which is an error")
    func reentry() throws {
        let reader = table.makeReader(as: "r")
        let refusal = reader.read { _ in table.refusal(of: Self.array(1)) }
        #expect(refusal == .reentrant(ReentryError(.reader, tried: .transaction)))
        #expect(table.refusal(of: Self.array(1)) == nil)
    }

    @Test("given up, one that never leaves holds nothing; and if it leaves it is known again")
    func abandoned() throws {
        let stay = Stay(in: table, as: "dead", isAbandoned: true)
        #expect(try submit(1).readers == ["dead"])
        #expect(table.abandonReaders(named: "other") == 0)
        #expect(table.abandonReaders(named: "dead") == 1)
        #expect(yieldThread { reported.value.last == "retired 1" })
        #expect(try submit(2).retired)

        let reader = table.makeReader(as: "late")
        reader.read { _ in #expect(table.abandonReaders(named: "late") == 1) }
        try reader.read { _ throws in
            let submit = TestThread { #expect((try? self.submit(3))?.readers == ["late"]) }
            #expect(submit.join())
        }
        stay.end()
    }

    @Test("one that is gone is waited for no more")
    func gone() throws {
        for _ in 0..<3 {
            let reader = table.makeReader(as: "short")
            #expect(reader.read { $0.generation } == Generation(0))
        }
        #expect(table.pair.readers.count == 0)
        #expect(try submit(1, deadline: 0).retired)
    }

    @Test("work in hooks, with the old array before the swap, in observers and in the vCPU gate")
    func everywhere() throws {
        let seen = Shared<[String]>([])
        final class ReadingHook: MemslotHook {
            let name = "reading"
            var needsQuiescence: Bool { false }
            let table: MemslotTable
            let seen: Shared<[String]>
            init(_ table: MemslotTable, _ seen: Shared<[String]>) {
                (self.table, self.seen) = (table, seen)
            }
            func check(_ what: String) {
                let generation = table.makeReader(as: what).read { $0.generation }
                seen.update { $0.append("\(what) \(generation)") }
            }
            func prepare(_ change: MemslotChange) { check("prepare") }
            func commit(_ change: MemslotChange) { check("commit") }
            func finish(_ change: MemslotChange) { check("finish") }

            func abort(_ change: MemslotChange) {}
        }
        let hook = ReadingHook(table, seen)
        table.add(hook)
        // Each would keep the other.
        defer { table.remove(hook) }
        let observation = try table.observe { _ in hook.check("observer") }.observation
        var array = Self.array(0)
        array[0] = array[0].at(5)
        try table.submit(array)
        #expect(seen.value == ["prepare 0", "commit 0", "finish 1", "observer 1"])
        let entry = table.vcpuGate?.register(name: "v", kick: {})
        try entry?.run { hook.check("vcpu") }
        table.read { _ in hook.check("closure") }
        #expect(seen.value.suffix(2) == ["vcpu 1", "closure 1"])
        withExtendedLifetime(observation) {}
    }

    @Test("what the closure throws comes out as it is, and the reader has left")
    func throwing() throws {
        let reader = table.makeReader(as: "r")
        #expect(throws: Errno.badAddress) {
            try reader.read { _ throws(Errno) -> Int in throw Errno.badAddress }
        }
        #expect(try submit(1, deadline: 0).retired)
    }

    @Test("a reader outlives its table, and reads what was there last")
    func outlives() throws {
        func orphan() throws -> TableReader {
            let table = try MemslotTable(
                backend: ModelBackend(Self.array(3)), installed: Self.array(3))
            return table.makeReader(as: "r")
        }
        let reader = try orphan()
        #expect(reader.read { $0.translate(address(3))?.slot } == SlotID(0))
    }

    @Test("the index of a retired array is built in again")
    func reuse() throws {
        var places: [UnsafeMutablePointer<SlotRecord>?] = []
        for number in 1...6 {
            _ = try submit(UInt64(number))
            places.append(table.read { $0.array.index.allRecords.baseAddress })
        }
        #expect(Set(places).count == 2)
    }
}
