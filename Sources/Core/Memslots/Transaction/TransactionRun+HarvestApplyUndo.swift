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
        let call = call(index)
        do throws(Errno) { try apply(call, attribute(index)) } catch { return .refused(error) }
        applied = index + 1
        if isRecovery, let call { surroundings.backend.emptyNewLog(of: call) }
        return .done
    }

    private mutating func apply(_ call: SlotCall?, _ change: MemoryAttributeChange?) throws(Errno) {
        if let call { try surroundings.backend.apply(call) }
        guard let change else { return }
        try attributeBackend?.setMemoryAttributes(of: change.range, isPrivate: change.isPrivate)
    }

    /// As ``apply(_:)``; the clock is read before the first operation of a part and after its last.
    mutating func timedApply(_ index: Int) -> TransactionMachine.Event {
        if starts.contains(index) { applyStart = monotonicNow() }
        let event = apply(index)
        if starts.contains(index + 1) || event != .done {
            times.apply += monotonicNow() - applyStart
        }
        return event
    }

    mutating func undo(_ index: Int) -> TransactionMachine.Event {
        let call = call(index)?.inverse
        do throws(Errno) {
            // A guest that ran beside the plan, or since, may have logged writes that other slots
            // must report. If it was held out all the time, a new log has only the bits that the
            // kernel began it with.
            if !quiesces || hasResumed, let call, call.endsLogging, let slot = call.before {
                surroundings.backend.collectDirtyPages()
                let bits = try surroundings.backend.readDirtyLog(of: slot, clear: false)
                _ = overlay.carry([Harvested(slot: slot, bits: bits)], to: before)
            }
            try apply(call, attribute(index)?.inverse)
        } catch {
            return .refused(error)
        }
        applied = index
        if let call { surroundings.backend.emptyNewLog(of: call) }
        return .done
    }

    /// The slots that are installed now, by the calls that succeeded.
    var installation: SlotJournal {
        SlotJournal(
            initial: before,
            calls: plan.operations.prefix(applied - appliedAttributes.count).map(\.call))
    }

    /// Empties the logs that the kernel began full and that no guest could write to, before vCPUs
    /// may run on what a failed undo has left. A recovery has emptied its own.
    func emptyLogsOfFailure() {
        guard quiesces, !hasResumed, !isRecovery else { return }
        for call in installation.callsThatBeganLogs { surroundings.backend.emptyNewLog(of: call) }
    }

    /// Returns harvested bits to their slots. If the guest has run since their logs ended, what it
    /// wrote is unknown, and all pages count as written.
    mutating func restoreDirtyBits() {
        for item in harvest {
            let all = DirtyBitmap(pageCount: item.bits.pageCount, isFull: true)
            overlay.add(hasResumed ? all : item.bits, to: item.slot)
        }
        harvest = []
    }
}
