import Memslots

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
                "a vCPU is in the guest, and slot \(slot.key) is missing: \(installed)")
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
