/// The steps that are calls of the backend.
extension TransactionRun {
    /// Reads the dirty log of each slot whose log the plan ends.
    mutating func harvestEndingLogs() -> TransactionMachine.Event {
        let ending = plan.operations.lazy.map(\.call).filter(\.endsLogging)
        guard !ending.isEmpty else { return .done }
        surroundings.backend.collectDirtyPages()
        overlay.collect(from: surroundings.transactionHooks, for: before)
        for call in ending {
            guard let slot = call.before else { continue }
            do throws(Errno) {
                let bits = try surroundings.backend.readDirtyLog(of: slot, clear: false)
                if isRecovery {
                    // The overlay's bits already belong to slots of the active array.
                    _ = overlay.carry([Harvested(slot: slot, bits: bits)], to: target)
                } else {
                    var kept = overlay.remove(slot)
                    kept.formUnion(bits)
                    harvest.append(Harvested(slot: slot, bits: kept))
                }
            } catch {
                return .refused(error)
            }
        }
        return .done
    }

    mutating func apply(_ index: Int) -> TransactionMachine.Event {
        let call = plan.operations[index].call
        do throws(Errno) {
            try surroundings.backend.apply(call)
        } catch {
            return .refused(error)
        }
        applied = index + 1
        if isRecovery { surroundings.backend.emptyNewLog(of: call) }
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

    mutating func undo(_ index: Int) -> TransactionMachine.Event {
        let call = plan.operations[index].call.inverse
        do throws(Errno) {
            // A plan that ran beside the guest may have logged writes that other slots must report.
            // With vCPUs held out from the beginning a new log has only the bits that the kernel
            // began it with.
            if !quiesces, call.endsLogging, let slot = call.before {
                let bits = try surroundings.backend.readDirtyLog(of: slot, clear: false)
                _ = overlay.carry([Harvested(slot: slot, bits: bits)], to: before)
            }
            try surroundings.backend.apply(call)
        } catch {
            return .refused(error)
        }
        applied = index
        surroundings.backend.emptyNewLog(of: call)
        return .done
    }

    /// The slots that are installed now, by the calls that succeeded.
    var installation: SlotJournal {
        SlotJournal(initial: before, calls: plan.operations.prefix(applied).map(\.call))
    }

    /// Empties the logs that the kernel began full and that no guest could write to, before vCPUs
    /// may run on what a failed undo has left. A recovery has emptied its own.
    func emptyLogsOfFailure() {
        guard quiesces, !isRecovery else { return }
        for call in installation.callsThatBeganLogs { surroundings.backend.emptyNewLog(of: call) }
    }

    mutating func restoreDirtyBits() {
        for item in harvest { overlay.add(item.bits, to: item.slot) }
        harvest = []
    }
}
