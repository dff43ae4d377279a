import MemslotTestKit
import Memslots

/// Deletes one slot again and again beside witnesses, and compares what they found. Each witness
/// draws a ticket before and after each access. If an access that found no memory ended before one
/// began that found memory, the vCPUs did not lose the slot at one instant. In naive mode two slots
/// are deleted in each transaction, without holding vCPUs: the control.
extension TortureRun {
    /// The pages that witnesses access, one by one.
    static let witnessedPages: UInt64 = 2

    /// Every third witness is in real mode.
    static func witness(_ vcpu: Int) -> GuestKind { vcpu % 3 == 2 ? .real : .long }

    static func witnessed(_ options: TortureOptions, _ region: TortureRegion) -> [Memslot] {
        let pieces = options.mode == .naive ? [0..<1, 1..<2] : [0..<witnessedPages]
        return pieces.enumerated().map { number, pages in
            region.slot(UInt32(number) + 1, pages).logging(false)
        }
    }

    mutating func deleteBesideWitnesses() throws(TortureError) {
        // An access that found no memory may not have been recorded yet.
        try vcpus.awaitRounds()
        for vcpu in 0..<options.vcpus { machine.forgetMissing(vcpu) }
        let receipt = try submit(machine.otherSlots())
        if !receipt.quiesced || options.mode == .naive { report.counts[.witnessedDeletions] += 1 }
        // The round that has begun, and one without the slot.
        try vcpus.awaitRounds(2)
        var kinds: Set<Bool> = []
        let tickets = (0..<options.vcpus).map { machine.tickets(of: $0) }
        for (one, early) in tickets.enumerated() where early.firstMissing != 0 {
            for (other, late) in tickets.enumerated()
            where Int32(bitPattern: late.lastFound &- early.firstMissing) > 0 {
                kinds.insert(Self.witness(one) == .long && Self.witness(other) == .long)
            }
        }
        if kinds.contains(true) { report.counts[.directViolations] += 1 }
        if kinds.contains(false) { report.counts[.indirectViolations] += 1 }
        if !kinds.isEmpty { report.counts[.transactionsHit] += 1 }
        _ = try submit(slots)
    }
}
