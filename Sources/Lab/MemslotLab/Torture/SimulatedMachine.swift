import Dispatch
import MemslotSimulator
import Memslots
import Synchronization

/// vCPUs are threads that access the region page by page and read the table like a device model.
final class SimulatedMachine: TortureMachine {
    private final class Unit: Sendable {
        let isKicked = Atomic<Bool>(false)
        let state = Locked(Numbers())
    }

    private struct Numbers {
        var page: UInt64 = 0
        var rounds: UInt32 = 0
        var touched = [UInt32](repeating: 0, count: Int(TortureRegion.pageCount))

        /// Counts an access to the next page. Returns the page, and whether it ends the round.
        mutating func begin() -> (page: UInt64, endsRound: Bool) {
            defer { page = (page + 1) % TortureRegion.pageCount }
            touched[Int(page)] &+= 1
            let endsRound = page + 1 == TortureRegion.pageCount
            if endsRound { rounds &+= 1 }
            return (page, endsRound)
        }

        /// Undoes the count of an access that failed.
        mutating func undo(_ page: UInt64) { touched[Int(page)] &-= 1 }
    }

    let simulator: SimulatedBackend
    let region = TortureRegion(
        mappings: (UserspaceAddress(0x7f00_0000_0000), UserspaceAddress(0x7f10_0000_0000)))
    var regions: [TortureRegion] { [region] }
    let counts = Locked(Tally<TortureReport.Count>())
    private let units: [Unit]
    private let entries: [VCPUEntry]
    private let isWriting: Bool
    private let isEnding = Atomic<Bool>(false)
    /// The arrays that the table may have. The table's hook keeps the machine.
    private struct Legal {
        var arrays: [[Memslot]] = []
        weak var table: MemslotTable?
    }
    private let legal = Locked(Legal())

    let backend: any MemslotBackend

    init(_ options: TortureOptions, gate: VCPUGate) throws(TortureError) {
        let protection: DirtyLogProtection
        switch options.dirtyLog {
        case .cleared: protection = .automatic
        case .manual: protection = .manual
        case .initiallySet: protection = .manualInitiallySet
        case .ring: throw .invalidOption("a simulated VM has no dirty rings")
        }
        let simulator = SimulatedBackend(dirtyLogProtection: protection)
        self.simulator = simulator
        backend = SlowBackend(simulator)
        isWriting = options.change != .romd
        units = (0..<options.vcpus).map { _ in Unit() }
        entries = units.enumerated().map { number, unit in
            gate.register(name: "\(number)") { unit.isKicked.store(true, ordering: .relaxed) }
        }
    }

    func begin(_ vcpu: Int) {}

    func turn(_ vcpu: Int) -> Bool {
        // Reentry is impossible: this thread does nothing else.
        (try? entries[vcpu].run { run(units[vcpu]) }) ?? false
    }

    /// Makes rounds until it is kicked or the last round has ended.
    private func run(_ unit: Unit) -> Bool {
        while !unit.isKicked.exchange(false, ordering: .relaxed) {
            // Counted before the access: if a log begins in between, the write must be in it.
            let (page, endsRound) = unit.state.withLock { $0.begin() }
            if !touch(page) {
                unit.state.withLock { $0.undo(page) }
                count(.spuriousExits)
            }
            guard endsRound else { continue }
            if !isTableLegal() { count(.emulationFailures) }
            if isEnding.load(ordering: .relaxed) { return false }
        }
        return true
    }

    /// Accesses a page; returns whether it has memory.
    private func touch(_ page: UInt64) -> Bool {
        let address = region.address(of: page)
        guard isWriting else {
            return simulator.installedSlots.contains { region.usedPages(of: $0).contains(page) }
        }
        return (try? simulator.touch(address, size: ByteCount(4))) != nil
    }

    /// Reads the table; returns whether it has one of the expected arrays with the right memory.
    private func isTableLegal() -> Bool {
        guard let table = legal.withLock({ $0.table }) else { return true }
        return table.read { snapshot in
            // Read inside: a swap waits for this reader, and `allow` is called around the swap.
            let arrays = legal.withLock { $0.arrays }
            let isWhole = (0..<TortureRegion.pageCount).allSatisfy { page in
                snapshot.array.slot(at: region.address(of: page)).map {
                    region.usedPages(of: $0).contains(page)
                } == true
            }
            return isWhole && arrays.contains(snapshot.array.slots)
        }
    }

    func kick(_ vcpu: Int) { units[vcpu].isKicked.store(true, ordering: .relaxed) }

    func writes() -> [UInt64] {
        let touched = isWriting ? units.map { unit in unit.state.withLock { $0.touched } } : []
        return (0..<Int(TortureRegion.pageCount)).map { page in
            touched.reduce(0) { $0 + UInt64($1[page]) }
        }
    }

    func rounds(of vcpu: Int) -> UInt32 { units[vcpu].state.withLock { $0.rounds } }
    func endWithThisRound() { isEnding.store(true, ordering: .relaxed) }

    func lostIncrements() -> UInt64 {
        units.reduce(0) { sum, unit in
            unit.state.withLock { numbers in
                numbers.touched.reduce(sum) { $0 + UInt64(numbers.rounds &- $1) }
            }
        }
    }

    func allow(_ arrays: [[Memslot]], of table: MemslotTable) {
        legal.withLock { $0 = Legal(arrays: arrays, table: table) }
    }
}

/// Operations take as long as the kernel's, so that intermediate states are observable.
final class SlowBackend: MemslotBackend {
    private let backend: any MemslotBackend

    init(_ backend: any MemslotBackend) { self.backend = backend }
    var capabilities: Capabilities { backend.capabilities }

    func apply(_ call: SlotCall) throws(Errno) {
        try backend.apply(call)
        let start = DispatchTime.now().uptimeNanoseconds
        // About the time of a create in the kernel.
        while DispatchTime.now().uptimeNanoseconds - start < 12_000 {}
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try backend.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() { backend.beginTransaction() }
    func collectDirtyPages() { backend.collectDirtyPages() }
}
