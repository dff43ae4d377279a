import Memslots

/// Something that must hold and did not.
package struct Breach: Hashable, Sendable {
    /// What must hold.
    package enum Invariant: String, CaseIterable, Hashable, Sendable {
        /// A reader sees the old array or the new one, entirely.
        case readerSeesWhole = "reader-sees-whole"
        /// What is told as retired, no registered reader looks at.
        case retiredIsLeft = "retired-is-left"
        /// While a vCPU is in the guest, every slot of the active array is installed.
        case guestSeesWhole = "guest-sees-whole"
        /// No vCPU is in the guest while calls that need quiescence are made, nor while a failed
        /// table holds them out.
        case vcpusHeld = "vcpus-held"
        /// Between transactions, what is installed is the active array, or what the failure says.
        case installedIsActive = "installed-is-active"
        /// Every planned call is one that the kernel takes.
        case planIsLegal = "plan-is-legal"
        /// Generations grow by one with each commit, and by nothing else.
        case generationsDense = "generations-dense"
        /// Every submit ends in one receipt or one error, which is the true one.
        case oneAnswer = "one-answer"
        /// Every event is delivered once and in order, or told as lost.
        case eventsInOrder = "events-in-order"
        /// Every prepared change is committed and finished, or aborted, once and in order.
        case hooksPaired = "hooks-paired"
        /// Every guest write is in the dirty log, or was handed out.
        case dirtyBitsKept = "dirty-bits-kept"
        /// A barrier is free when it is taken.
        case barrierFree = "barrier-free"
        /// What must not be tried from inside is refused.
        case reentryRefused = "reentry-refused"
        /// Nobody waits forever.
        case progress
    }

    /// What did not hold.
    package var invariant: Invariant
    /// What was seen instead.
    package var message: String
    /// The actor that saw it.
    package var actor: String
    /// The step in which it was seen.
    package var step: Int
}

/// What must hold at each step, and at each slot call.
extension World {
    /// After each step of any thread.
    func checkStep() {
        guard breach == nil else { return }
        let failure = table.failure
        if scheduler.transactions == 0 {
            check(
                installed == failure?.installed ?? active, .installedIsActive,
                "no transaction runs, and installed are \(installed), not "
                    + "\(failure?.installed ?? active)")
        }
        guard guests > 0 else { return }
        if failure == nil {
            checkGuestView()
        } else if !isReleased, scheduler.transactions == 0,
            scheduler.timeouts == transaction.timeoutsBefore
        {
            report(.vcpusHeld, "the table is failed, and \(guests) vCPUs are in the guest")
        }
    }

    /// While the guest runs, each slot that it is to see is there, logging if it is to log.
    private func checkGuestView() {
        // All calls are done when hooks are told of the commit: the new array is to be seen.
        guard !transaction.isSwitched || scheduler.transactions == 0 else { return }
        for slot in active {
            let isThere = installed.contains { present in
                var alike = present
                if !slot.isLogging { alike.flags.subtract(.logDirtyPages) }
                return alike == slot
            }
            check(
                isThere, .guestSeesWhole,
                "a vCPU is in the guest, and slot \(slot.assignedKey) is missing: \(installed)")
        }
    }

    /// Before a slot call is carried out.
    func checkGuests(at call: SlotCall) {
        guard guests > 0 else { return }
        transaction.ranBesideGuest = true
        // A plan that ran beside the guest is undone beside a vCPU that can't be stopped.
        let isExcused =
            transaction.isUndoing && scheduler.timeouts > transaction.timeoutsBefore
            && !transaction.calls.contains(where: \.needsQuiescence)
        check(
            !call.needsQuiescence || isExcused, .vcpusHeld,
            "\(call.name) \(call.key) while \(guests) vCPUs are in the guest")
    }

    /// Right after a transaction: the machine has what the table says.
    func checkInstalled() {
        check(
            installed == active, .installedIsActive,
            "the array is \(active), installed are \(installed)")
    }
}
