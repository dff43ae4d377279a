import Testing

@testable import Memslots

@Suite("readers", .serialized)
struct ReaderTests {
    /// Arrays whose every slot shows which array it is of.
    private func array(_ number: UInt64) -> [Memslot] {
        (0..<8).map { slot(UInt32($0), at: $0 * 4 + number % 4, host: $0) }
    }

    @Test("never see a mix, and never an older array than before")
    func noMix() throws {
        let table = try MemslotTable(backend: ModelBackend(array(0)), installed: array(0))
        let stop = Shared(false)
        let faults = Shared(0)
        let reads = Shared(0)
        let readers = (0..<4).map { number in
            TestThread {
                var last = Generation(0)
                while !stop.value {
                    table.read(as: "reader \(number)") { snapshot in
                        let first = snapshot.array.slots[0].guestPhysicalAddress.pageNumber
                        let isWhole = snapshot.array.slots == array(first)
                        let isRight = first == snapshot.generation.rawValue % 4
                        if !isWhole || !isRight || snapshot.generation < last {
                            faults.update { $0 += 1 }
                        }
                        last = snapshot.generation
                    }
                    reads.update { $0 += 1 }
                }
            }
        }
        for number in 1...300 { try table.submit(array(UInt64(number))) }
        stop.update { $0 = true }
        #expect(readers.allSatisfy { $0.join() })
        #expect(faults.value == 0)
        #expect(reads.value > 0)
        #expect(table.snapshot().generation == Generation(300))
    }

    @Test("a pending commit holds back new readers")
    func holdsBack() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let (isInside, mayLeave) = (Signal(), Signal())
        let first = TestThread {
            table.read {
                #expect($0.generation == Generation(0))
                isInside.send()
                mayLeave.wait()
            }
        }
        isInside.wait()
        let submit = TestThread { _ = table.refusal(of: array(1), options: patient) }
        // The gate is closed once the drain has begun.
        let isPending = yieldThread { table.pair.gate.isClosedNow }
        #expect(isPending)
        let seen = Shared<Generation?>(nil)
        let second = TestThread {
            let generation = table.read { $0.generation }
            seen.update { $0 = generation }
        }
        #expect(seen.value == nil)
        mayLeave.send()
        #expect(first.join() && submit.join() && second.join())
        #expect(seen.value == Generation(1))
    }

    private let patient = SubmitOptions(quiesceDeadline: .milliseconds(60_000))

    @Test("one that never leaves is named, nothing is applied, and the gates are open again")
    func staysInside() throws {
        let backend = ModelBackend()
        let table = try MemslotTable(backend: backend)
        let (isInside, mayLeave) = (Signal(), Signal())
        let reader = TestThread {
            table.read(as: "stuck") { _ in
                isInside.send()
                mayLeave.wait()
            }
        }
        isInside.wait()
        for quiesce in SubmitOptions.Quiesce.allCases {
            let refusal = table.refusal(
                of: array(1),
                options: SubmitOptions(quiesce: quiesce, quiesceDeadline: .milliseconds(5)))
            #expect(refusal == .quiesceTimeout(vcpus: [], readers: ["stuck"]))
        }
        #expect(backend.calls.isEmpty)
        // Others may read and vCPUs enter, though the reader is still there.
        let others = TestThread {
            #expect(table.read { $0.generation } == Generation(0))
            let entry = table.vcpuGate?.register(name: "v", kick: {})
            #expect(throws: Never.self) { try entry?.run {} }
        }
        #expect(others.join())
        mayLeave.send()
        #expect(reader.join())
        #expect(table.refusal(of: array(1)) == nil)
    }

    @Test("a read within a read works while a commit waits, and sees the same array")
    func nested() throws {
        let table = try MemslotTable(backend: ModelBackend())
        let (isInside, goOn) = (Signal(), Signal())
        let reader = TestThread {
            table.read { outer in
                isInside.send()
                goOn.wait()
                table.read { #expect($0.generation == outer.generation) }
                #expect(table.snapshot().generation == outer.generation)
            }
        }
        isInside.wait()
        let submit = TestThread { #expect(table.refusal(of: array(1), options: patient) == nil) }
        let isPending = yieldThread { table.pair.gate.isClosedNow }
        #expect(isPending)
        goOn.send()
        #expect(reader.join() && submit.join())
    }

    @Test("what a reader throws comes out as it is")
    func throwing() throws {
        let table = try MemslotTable(backend: ModelBackend())
        #expect(throws: Errno.badAddress) {
            try table.read { _ throws(Errno) -> Int in throw Errno.badAddress }
        }
        #expect(table.refusal(of: array(1)) == nil)
    }
}
