extension TransactionRun {
    /// Closes the gates and waits for both under one deadline.
    ///
    /// vCPUs are drained first, because a vCPU that is inside may still enter as a reader. When all
    /// are out, no vCPU can wait for a reader, and the readers are drained. The release opens the
    /// gates again, also after a timeout.
    mutating func drain() -> TransactionMachine.Event {
        let deadline = Deadline.after(quiesceDeadline)
        let (vcpus, readers) = (surroundings.vcpus, surroundings.pair.gate)
        let arrivals = readers.arrivals
        var remaining = (vcpus: [String](), readers: [String]())
        if quiesces {
            isHolding = true
            blackoutStart = monotonicNow()
            vcpus.beginHolding()
            remaining.vcpus = vcpus.waitUntilHeld(by: deadline)
        }
        if remaining.vcpus.isEmpty {
            readers.close()
            remaining.readers = readers.waitUntilEmpty(deadline)
        } else {
            remaining.readers = readers.remaining(since: arrivals)
        }
        if remaining.vcpus.isEmpty && remaining.readers.isEmpty { return .done }
        notHeld = remaining.vcpus
        return .timedOut(vcpus: remaining.vcpus, readers: remaining.readers)
    }

    /// Holds vCPUs out before the first undo of operations that ran beside them, or before a recovery.
    ///
    /// The array stays as it is, so that readers may enter; a vCPU that waited to read can leave.
    mutating func hold() -> TransactionMachine.Event {
        surroundings.pair.gate.open()
        isHolding = true
        blackoutStart = monotonicNow()
        surroundings.vcpus.beginHolding()
        // Without this hold the table has failed, whatever was left of the submitter's time.
        let deadline = max(quiesceDeadline, SubmitOptions.defaultQuiesceDeadline)
        notHeld = surroundings.vcpus.waitUntilHeld(
            by: .after(hasResumed ? deadline : quiesceDeadline))
        return notHeld.isEmpty ? .done : .timedOut(vcpus: notHeld, readers: [])
    }

    /// Waits for registered readers of the old array, for the part of the deadline that the drain
    /// did not use. The time of the slot calls does not count.
    mutating func retire() {
        let waited = Duration.nanoseconds(Int64(clamping: times.quiesce))
        readers = surroundings.pair.retire(.after(quiesceDeadline - waited))
    }

    /// Opens the gates; that of the vCPUs stays closed after a failure. A recovery leaves it to the
    /// table, which first records that it has recovered.
    mutating func release() {
        surroundings.pair.gate.open()
        if isHolding, installed == nil, !isRecovery { releaseVCPUs() }
    }

    /// Lets vCPUs go on before operations that need no hold. Readers stay out until the swap.
    mutating func resume() {
        releaseVCPUs()
        hasResumed = true
    }

    private mutating func releaseVCPUs() {
        surroundings.vcpus.endHolding()
        isHolding = false
        lastBlackout = monotonicNow() - blackoutStart
        times.blackout += lastBlackout
    }
}
