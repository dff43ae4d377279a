internal import MemslotProtocol
internal import MemslotScenario
package import Memslots

extension ImportReport {
    package var findings: [(machine: Int, finding: Finding)] {
        let isOnly = scenario.machines.count == 1
        var first = memoryFindings
        let more = first.count - Self.listedFindings
        if more > 0 {
            first.removeLast(more)
            first[first.count - 1].finding.text += "; and \(more) more such calls"
        }
        return first
            + scenario.finalSlots.enumerated().flatMap { machine, slots in
                let all = ArrayFindings(
                    slots, maxSlots: scenario.machines[machine].needs.maxSlots,
                    more: (isOnly ? view?.differences(from: slots) ?? [] : [])
                        + [slotTrend(of: machine)].compactMap(\.self) + refused(slots, of: machine)
                ).all
                return all.map { finding in
                    var own = finding
                    if !isOnly { own.text = "\(scenario.machines[machine].name): " + own.text }
                    return (machine, own)
                }
            }
    }

    /// The slots that the VM that a scenario describes refuses.
    private func refused(_ slots: [Memslot], of machine: Int) -> [Finding] {
        guard let limits = scenario.machines[machine].traced.limits?.capabilities else { return [] }
        return slots.compactMap { slot in
            let call = AttemptedCall(RawRegion(slot, size: slot.size), slots: [], limits: limits)
            return call.refusals.first.map { refusal in
                Finding(
                    .refused, .error, "slot \(slot.assignedKey): \(refusal.text)",
                    addressSpace: slot.addressSpace)
            }
        }
    }

    /// A number of slots that grows: larger in all the second half than anywhere in the first.
    private func slotTrend(of machine: Int) -> Finding? {
        var count = 0
        let counts = scenario.transactions.filter { $0.machine == machine }.map { transaction in
            let changes = transaction.changes
            count += (changes[.create] ?? 0) - (changes[.delete] ?? 0)
            return count
        }
        let (early, late) = (counts.prefix(counts.count / 2), counts.suffix(counts.count / 2))
        guard counts.count >= 16, let most = early.max(), let least = late.min(), least > most
        else { return nil }
        return Finding(
            .slotCount, .hint,
            "the number of slots keeps growing: at most \(most) in the first half of "
                + "\(counts.count) transactions, at least \(least) in the second, \(count) at the "
                + "end, of \(scenario.machines[machine].needs.maxSlots)")
    }
}
