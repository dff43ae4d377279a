extension TransactionRun {
    mutating func apply(_ index: Int) -> TransactionMachine.Event {
        let call = plan.operations[index].call
        do throws(Errno) {
            try surroundings.backend.apply(call)
        } catch {
            return .refused(error)
        }
        applied = index + 1
        return .done
    }

    /// As ``apply(_:)``; the clock is read before the first operation and after the last.
    mutating func timedApply(_ index: Int) -> TransactionMachine.Event {
        if index == 0 { applyStart = monotonicNow() }
        let event = apply(index)
        if index + 1 == plan.operations.count || event != .done {
            times.apply = monotonicNow() - applyStart
        }
        return event
    }

    /// What is really installed now.
    var installation: SlotJournal {
        var journal = SlotJournal(before.slots)
        for operation in plan.operations.prefix(applied) { journal.note(operation.call) }
        return journal
    }

    mutating func undo(_ index: Int) -> TransactionMachine.Event {
        let call = plan.operations[index].call.inverse
        do throws(Errno) {
            // A plan that ran beside the guest may have logged writes that other slots must tell.
            // With vCPUs held out from the beginning a new log can only hold what the kernel
            // began it with.
            if !quiesces, call.endsLogging, let slot = call.before {
                let bits = try surroundings.backend.readDirtyLog(of: slot, clear: false)
                _ = overlay.carry([Harvested(slot: slot, bits: bits)], to: before.slots)
            }
            try surroundings.backend.apply(call)
        } catch {
            return .refused(error)
        }
        applied = index
        surroundings.backend.emptyNewLog(of: call)
        return .done
    }

    mutating func readEndingLogs() -> TransactionMachine.Event {
        let ending = plan.operations.lazy.map(\.call).filter(\.endsLogging)
        guard !ending.isEmpty else { return .done }
        surroundings.backend.collectDirtyPages()
        for call in ending {
            guard let slot = call.before else { continue }
            do throws(Errno) {
                let bits = try surroundings.backend.readDirtyLog(of: slot, clear: false)
                var kept = overlay.take(slot)
                kept.formUnion(bits)
                harvest.append(Harvested(slot: slot, bits: kept))
            } catch {
                return .refused(error)
            }
        }
        return .done
    }

    /// Empties the logs that the kernel began full and that no guest could write to, before vCPUs
    /// may be let into what a failed undo has left.
    func emptyLogsOfFailure() {
        guard quiesces else { return }
        for call in installation.callsThatBeganLogs { surroundings.backend.emptyNewLog(of: call) }
    }

    mutating func restoreDirtyBits() {
        for item in harvest { overlay.add(item.bits, to: item.slot) }
        harvest = []
    }
}
