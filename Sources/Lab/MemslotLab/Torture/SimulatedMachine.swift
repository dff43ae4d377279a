import Dispatch
import MemslotKVM
import MemslotSimulator
import Memslots
import Synchronization

/// A simulated VM: its vCPUs are threads that touch the region page by page, and look at the
/// table as a device model would.
final class SimulatedMachine: TortureMachine {
    /// A vCPU with the memory that is its own.
    private final class Unit: Sendable {
        let entry: VCPUEntry
        let isKicked: KickFlag
        let state = Locked(Numbers())

        init(_ entry: VCPUEntry, _ isKicked: KickFlag) {
            self.entry = entry
            self.isKicked = isKicked
        }
    }

    private struct Numbers {
        var page: UInt64 = 0
        var rounds: UInt32 = 0
        var touched = [UInt32](repeating: 0, count: Int(TortureRegion.pageCount))

        /// Counts a touch of the page that is next.
        ///
        /// - Returns: the page, and whether another round begins after it.
        mutating func begin() -> (page: UInt64, endsRound: Bool) {
            defer { page = (page + 1) % TortureRegion.pageCount }
            touched[Int(page)] &+= 1
            let endsRound = page + 1 == TortureRegion.pageCount
            if endsRound { rounds &+= 1 }
            return (page, endsRound)
        }

        /// The page was not there.
        mutating func takeBack(_ page: UInt64) { touched[Int(page)] &-= 1 }
    }

    private final class KickFlag: Sendable {
        let flag = Atomic<Bool>(false)
    }

    /// What the table may show.
    private struct Legal {
        var arrays: [[Memslot]] = []
        weak var table: MemslotTable?
    }

    let simulator: SimulatedBackend
    let region = TortureRegion(
        mappings: (UserspaceAddress(0x7f00_0000_0000), UserspaceAddress(0x7f10_0000_0000)))
    let counters = TortureCounters()
    let fixedSlots: [Memslot] = []
    private let units: [Unit]
    private let isWriting: Bool
    private let isEnding = Atomic<Bool>(false)
    private let legal = Locked(Legal())

    let backend: any MemslotBackend

    init(_ options: TortureOptions, gate: VCPUGate) throws(TortureError) {
        let protection: DirtyLogProtection
        switch options.dirtyLog {
        case .clearedByReading: protection = .automatic
        case .manual: protection = .manual
        case .manualInitiallySet: protection = .manualInitiallySet
        case .ring: throw .noSimulatedRing
        }
        let simulator = SimulatedBackend(dirtyLogProtection: protection)
        self.simulator = simulator
        backend = SlowBackend(simulator)
        isWriting = options.change != .romd
        units = (0..<options.vcpus).map { number in
            let kicked = KickFlag()
            let entry = gate.register(name: "\(number)") {
                kicked.flag.store(true, ordering: .relaxed)
            }
            return Unit(entry, kicked)
        }
    }

    func begin(_ vcpu: Int) {}

    func turn(_ vcpu: Int) -> Bool {
        let unit = units[vcpu]
        do throws(ReentryError) {
            return try unit.entry.run { run(unit) }
        } catch {
            // This thread does nothing else.
            return false
        }
    }

    /// Goes round until it is kicked, or a round has ended that is to be the last.
    private func run(_ unit: Unit) -> Bool {
        while !unit.isKicked.flag.exchange(false, ordering: .relaxed) {
            // Counted before it is done: a log that is switched on beside this thread begins between
            // the two, and a write that is counted after it must be in it.
            let (page, endsRound) = unit.state.withLock { $0.begin() }
            if !touch(page) {
                unit.state.withLock { $0.takeBack(page) }
                counters.countSpuriousExit()
            }
            guard endsRound else { continue }
            if !isTableLegal() { counters.countEmulationFailure() }
            if isEnding.load(ordering: .relaxed) { return false }
        }
        return true
    }

    /// What the guest meets at a page.
    private func touch(_ page: UInt64) -> Bool {
        let address = TortureRegion.address(of: page)
        guard isWriting else {
            return simulator.installedSlots.contains {
                TortureRegion.usedPages(of: $0).contains(page)
            }
        }
        do throws(TouchError) {
            try simulator.touch(address, size: ByteCount(rawValue: 4))
            return true
        } catch {
            return false
        }
    }

    /// What a device model meets: one of the arrays that may be, with the right memory in it.
    private func isTableLegal() -> Bool {
        guard let table = legal.withLock({ $0.table }) else { return true }
        return table.read { snapshot in
            // Inside: a swap waits for this reader, and what may be is told around the swap.
            let arrays = legal.withLock { $0.arrays }
            let isWhole = (0..<TortureRegion.pageCount).allSatisfy { page in
                snapshot.array.slot(at: TortureRegion.address(of: page)).map {
                    TortureRegion.usedPages(of: $0).contains(page)
                } == true
            }
            return isWhole && arrays.contains(snapshot.array.slots)
        }
    }

    func kick(_ vcpu: Int) { units[vcpu].isKicked.flag.store(true, ordering: .relaxed) }

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

/// A simulated VM whose slot calls take as long as a kernel's, so that there is a between to see.
final class SlowBackend: MemslotBackend {
    private let backend: any MemslotBackend

    /// Nanoseconds after a call; a kernel's creation takes about as long.
    private static let span: UInt64 = 12_000

    init(_ backend: any MemslotBackend) { self.backend = backend }

    var capabilities: Capabilities { backend.capabilities }

    func apply(_ call: SlotCall) throws(Errno) {
        try backend.apply(call)
        let start = DispatchTime.now().uptimeNanoseconds
        while DispatchTime.now().uptimeNanoseconds - start < Self.span {}
    }

    func readDirtyLog(of slot: Memslot, clear: Bool) throws(Errno) -> DirtyBitmap {
        try backend.readDirtyLog(of: slot, clear: clear)
    }

    func beginTransaction() { backend.beginTransaction() }

    func collectDirtyPages() { backend.collectDirtyPages() }
}
