#if arch(x86_64)
    import MemslotTestKit
    import Memslots

    /// Deletes one slot again and again beside witnesses, and compares what they found. Each
    /// witness draws a ticket before and after each access. If an access that found no memory ended
    /// before one began that found memory, the vCPUs did not lose the slot at one instant. In naive
    /// mode two slots are deleted in each transaction, without holding vCPUs: the control.
    struct WitnessRun {
        /// The pages that witnesses access, one by one.
        static let pageCount: UInt64 = 2

        private let options: TortureOptions
        private let machine: KVMMachine
        private let table: MemslotTable
        private let present: [Memslot]
        private var vcpus: TortureVCPUs
        private var report = TortureReport()

        /// Every third witness is in real mode.
        static func kind(of vcpu: Int) -> GuestKind { vcpu % 3 == 2 ? .real : .long }

        init(
            _ options: TortureOptions, _ machine: KVMMachine, hold: any VCPUHold
        ) throws(TortureError) {
            (self.options, self.machine) = (options, machine)
            table = try converting(
                { TortureError.submit(.invalid($0)) },
                MemslotTable(backend: machine.backend, vcpus: hold))
            let pieces = options.mode == .naive ? [0..<1, 1..<2] : [0..<Self.pageCount]
            present =
                machine.otherSlots()
                + pieces.enumerated().map { number, pages in
                    var slot = machine.regions[0].slot(UInt32(number) + 1, pages)
                    slot.flags = []
                    return slot
                }
            let pause = VCPUPause(vcpus: options.vcpus) { machine.kick($0) }
            // Not bound: vCPUs that share a processor see no slot vanish at different times.
            vcpus = TortureVCPUs(machine, pause, count: options.vcpus, binding: nil)
        }

        mutating func execute(_ progress: (Int) -> Void) throws(TortureError) -> TortureReport {
            _ = try submit(present)
            do throws(TortureError) {
                try vcpus.start()
                for turn in 1...max(1, options.transactions) where turn <= options.transactions {
                    try deleteOnce()
                    report.counts[.transactions] = UInt64(turn)
                    progress(turn)
                }
            } catch {
                try? vcpus.end()
                throw error
            }
            try vcpus.end()
            report.counts[.emulationFailures] = machine.faults[.emulationFailures]
            report.counts[.rounds] = vcpus.rounds
            return report
        }

        private mutating func deleteOnce() throws(TortureError) {
            // An access that found no memory may not have been recorded yet.
            try vcpus.awaitRounds()
            for vcpu in 0..<options.vcpus { machine.forgetMissing(vcpu) }
            let receipt = try submit(machine.otherSlots())
            if !receipt.quiesced || options.mode == .naive {
                report.counts[.witnessedDeletions] += 1
            }
            // The round that has begun, and one without the slot.
            try vcpus.awaitRounds(2)
            var kinds: Set<Bool> = []
            let tickets = (0..<options.vcpus).map { machine.tickets(of: $0) }
            for (one, early) in tickets.enumerated() where early.firstMissing != 0 {
                for (other, late) in tickets.enumerated()
                where Int32(bitPattern: late.lastFound &- early.firstMissing) > 0 {
                    kinds.insert(Self.kind(of: one) == .long && Self.kind(of: other) == .long)
                }
            }
            if kinds.contains(true) { report.counts[.directViolations] += 1 }
            if kinds.contains(false) { report.counts[.indirectViolations] += 1 }
            if !kinds.isEmpty { report.counts[.transactionsHit] += 1 }
            _ = try submit(present)
        }

        private mutating func submit(_ slots: [Memslot]) throws(TortureError) -> Receipt {
            let receipt = try converting({ TortureError.submit($0) }, table.submit(slots))
            report.counts[.slotCalls] += UInt64(receipt.operations.count)
            return receipt
        }
    }
#endif
