import MemslotTestKit
import Memslots

struct TortureRun {
    let options: TortureOptions
    let machine: any TortureMachine
    var report = TortureReport()
    var vcpus: TortureVCPUs
    private(set) var slots: [Memslot]
    private let table: MemslotTable
    private let pause: VCPUPause
    private let hook: PauseAtCommit
    private var random: SeededRandom
    private var layouts: [LayoutSequence]
    private var ledger: GuestWriteLedger
    private let processors: Processors?
    private let backEnd: TortureBackEnd?

    init(
        _ options: TortureOptions, _ machine: any TortureMachine, hold: any VCPUHold
    ) throws(TortureError) {
        (self.options, self.machine) = (options, machine)
        random = SeededRandom(seed: options.seed)
        var layouts = machine.regions.map {
            LayoutSequence(
                $0, change: options.change, seed: options.seed &+ 1 &+ UInt64($0.space.rawValue))
        }
        backEnd = options.observer == .none ? nil : try TortureBackEnd(region: machine.regionFile)
        slots = machine.otherSlots() + (backEnd?.slots(&random) ?? [])
        if options.change == .delete {
            slots += Self.witnessed(options, machine.regions[0])
        } else {
            for index in layouts.indices { slots += layouts[index].next() }
        }
        self.layouts = layouts
        table = try converting(
            { TortureError.submit(.invalid($0)) },
            MemslotTable(backend: machine.backend, vcpus: hold))
        pause = VCPUPause(vcpus: options.vcpus) { machine.kick($0) }
        // Witnesses that share a processor see no slot vanish at different times.
        processors = options.change == .delete ? nil : Processors()
        vcpus = TortureVCPUs(machine, pause, count: options.vcpus, binding: processors)
        hook = PauseAtCommit(pause)
        do throws(SubmitError) { try table.submit(slots) } catch { throw .submit(error) }
        ledger = GuestWriteLedger(slots, of: machine.regions, writes: machine.writes())
        if options.change != .delete { table.add(hook) }
        machine.allow([slots], of: table)
    }

    mutating func execute(_ progress: (Int) -> Void) throws(TortureError) -> TortureReport {
        processors?.bind(to: 0)
        defer { processors?.unbind() }
        do throws(TortureError) {
            try vcpus.start()
            // Each has saved its state in SMRAM once before slots change.
            try vcpus.awaitRounds()
            try backEnd?.start(table, seed: options.seed)
            for turn in 1...max(1, options.transactions) where turn <= options.transactions {
                if options.change == .delete {
                    try deleteBesideWitnesses()
                } else {
                    try awaitGuest()
                    machine.observe(&report)
                    try backEnd?.awaitRequests()
                    try transact()
                }
                machine.observe(&report)
                report.counts[.transactions] = UInt64(turn)
                progress(turn)
            }
            try vcpus.awaitRounds()
            try vcpus.end()
        } catch {
            // The vCPUs must not keep running. If they can't be stopped, the first error is thrown.
            try? vcpus.end()
            machine.observe(&report)
            guard report.hasEnded else { throw error }
            report.counts[.transactions] += 1
            report.counts[.transactionsHit] += 1
        }
        machine.observe(&report)
        backEnd?.finish(&report.counts)
        report.counts += machine.faults
        // Witnesses access what is deleted.
        if options.change == .delete { report.counts[.spuriousExits] = 0 }
        report.counts[.lostIncrements] = machine.lostIncrements()
        report.counts[.lostDirtyPages] = ledger.lost
        report.counts[.dirtyPages] = ledger.owedInAll
        report.counts[.rounds] = vcpus.rounds
        return report
    }

    mutating func submit(_ next: [Memslot]) throws(TortureError) -> Receipt {
        let submit = SubmitOptions(
            quiesce: options.continuity ? .continuity : .auto,
            quiesceDeadline: .milliseconds(10_000))
        let receipt = try converting(
            { TortureError.submit($0) }, table.submit(next, options: submit))
        report.counts[.slotCalls] += UInt64(receipt.operations.count)
        return receipt
    }

    private mutating func transact() throws(TortureError) {
        // Not after each, so that bits are carried through several.
        let isChecked = Int.random(in: 0..<2, using: &random) == 0
        var next = machine.otherSlots() + (backEnd?.slots(&random) ?? [])
        for index in layouts.indices { next += layouts[index].next() }
        if options.continuity { next += machine.regions[0].slotsBeside(&random) }
        let seen = machine.faults
        hook.arm(isChecked)
        machine.allow([slots, next], of: table)
        ledger.observe(machine.writes())
        let receipt = try submit(next)
        slots = next
        ledger.settle(receipt, now: slots, writes: machine.writes())
        machine.allow([slots], of: table)
        report.counts[.outsideHolds] += Self.outsideHold(receipt)
        if options.mode == .atomic, receipt.quiesced, receipt.durations.nanoseconds.blackout > 0 {
            report.blackout.record(receipt.durations.nanoseconds.blackout)
        }
        if isChecked { try check() }
        if machine.faults != seen { report.counts[.transactionsHit] += 1 }
    }

    /// The number of creates before and of deletes after the hold of a transaction.
    private static func outsideHold(_ receipt: Receipt) -> UInt64 {
        guard receipt.quiesced else { return 0 }
        func isBeside(_ slot: Memslot?) -> Bool {
            slot.map { $0.guestPhysicalAddress >= TortureRegion.beside } ?? false
        }
        let calls = receipt.operations.map(\.call)
        let head = calls.prefix { $0.before == nil && isBeside($0.after) }
        let tail = calls.reversed().prefix { $0.after == nil && isBeside($0.before) }
        return UInt64(head.count + tail.count)
    }

    private mutating func check() throws(TortureError) {
        guard pause.awaitStop(seconds: TortureVCPUs.patience) else { throw .stuck(vcpu: 0) }
        defer { pause.resume() }
        var logs: [DirtyPages] = []
        for slot in slots where slot.isLogging {
            let log = try converting(
                { TortureError.dirtyLog($0) }, table.dirtyLog(of: slot, clear: true))
            logs.append(DirtyPages(slot: slot, runs: log.bitmap.runs))
        }
        ledger.settle(logs, writes: machine.writes())
    }

    /// Waits for one of three states: every vCPU has made a round; or one has written, when most
    /// pages are clean and an older bit does not hide a lost one; or none, so that a paused vCPU
    /// enters while the transaction begins.
    private mutating func awaitGuest() throws(TortureError) {
        switch Int.random(in: 0..<3, using: &random) {
        case 0: return
        case 1 where options.change != .romd:
            let writes = machine.writes()
            try TortureVCPUs.waitUntil { machine.writes() == writes ? 0 : nil }
        default: try vcpus.awaitRounds()
        }
    }
}
