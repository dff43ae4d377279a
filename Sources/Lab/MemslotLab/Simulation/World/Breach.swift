import MemslotSimulator
import Memslots

package struct Breach: Hashable, Sendable {
    package enum Invariant: String, CaseIterable, Hashable, Sendable {
        /// A reader sees the whole old array or the whole new one.
        case readerSeesWhole = "reader-sees-whole"
        /// No registered reader uses an array that is reported as retired.
        case retiredIsLeft = "retired-is-left"
        /// While a vCPU is in the guest, every slot of the active array is installed, and exactly its
        /// private ranges are private.
        case guestSeesWhole = "guest-sees-whole"
        /// No vCPU is in the guest during operations that need quiescence, nor while a failed table
        /// holds vCPUs.
        case vcpusHeld = "vcpus-held"
        /// Between transactions, the installed slots and private ranges are those of the active array
        /// or of the failure.
        case installedIsActive = "installed-is-active"
        /// The kernel accepts every planned operation.
        case planIsLegal = "plan-is-legal"
        /// The generation grows by one with each commit, and only then.
        case generationsDense = "generations-dense"
        /// Every submit ends with exactly one receipt or error, which is correct.
        case oneAnswer = "one-answer"
        /// Every event is delivered once and in order, or reported as dropped.
        case eventsInOrder = "events-in-order"
        /// Every prepared change is either committed and finished, or aborted, once and in order.
        case hooksPaired = "hooks-paired"
        /// A back end has exactly the memory of the array in force, or was lost for a reason; what it
        /// fails at is a veto before the commit, and no error after it.
        case backEndFollows = "back-end-follows"
        /// Every guest write is in a dirty log or in a receipt.
        case dirtyBitsKept = "dirty-bits-kept"
        /// A barrier is free when it is entered.
        case barrierFree = "barrier-free"
        /// A peer is refused by the limit that it crosses, and holds what it was granted.
        case limitsHold = "limits-hold"
        /// Calls from inside a callback of the same table are refused.
        case reentryRefused = "reentry-refused"
        /// No actor waits forever.
        case progress
    }

    package var invariant: Invariant
    package var message: String
    /// The actor that observed it.
    package var actor: String
    package var step: Int
}

extension World {
    func checkStep() {
        // So many more for the actors to end.
        if scheduler.steps > options.steps + 60_000 {
            report(.progress, "the run does not end")
            scheduler.abandon()
        }
        guard breach == nil else { return }
        let failure = table.failure
        if scheduler.transactions == 0 {
            check(
                installed == failure?.installed ?? active, .installedIsActive,
                "between transactions, installed are \(installed), not "
                    + "\(failure?.installed ?? active)")
            checkPrivateRanges(failure)
        }
        guard guests > 0 else { return }
        if failure == nil {
            checkGuestView()
        } else if !isReleased, scheduler.transactions == 0, !hasTimedOut {
            report(.vcpusHeld, "\(guests) vCPUs are in the guest on a failed table")
        }
    }

    /// Checks that a running guest has each slot of the active array, and that it logs if it must.
    private func checkGuestView() {
        // Behind the hold for continuity, and once the table has swapped, the guest has the new ones.
        let mayBeNew = transaction.isSwitched || transaction.continuity != nil
        let allowed = [activePrivateRanges] + (mayBeNew ? [transaction.privateRanges] : [])
        check(
            allowed.contains(simulator.privateRanges), .guestSeesWhole,
            "private are \(simulator.privateRanges) with a vCPU in the guest, not \(allowed)")
        // Hooks commit after all operations: the guest has the new array by then.
        guard !transaction.isSwitched || scheduler.transactions == 0 else { return }
        if scheduler.transactions > 0, let wanted = transaction.continuity {
            return checkCommonPages(with: wanted)
        }
        // A vCPU may enter after a deletion that is to be the only operation.
        if scheduler.transactions > 0, !transaction.isUndoing, transaction.calls.count == 1,
            case .delete(let slot)? = transaction.calls.first, !slot.isLogging
        {
            transaction.deletedBesideGuest = slot
            transaction.ranBesideGuest = true
        }
        for slot in active where slot != transaction.deletedBesideGuest {
            check(
                installed.contains { (slot.isLogging ? $0 : $0.logging(false)) == slot },
                .guestSeesWhole,
                "slot \(slot.assignedKey) is missing with a vCPU in the guest: \(installed)")
        }
    }

    /// Checks that a running guest has each page that the active array and `wanted` map.
    private func checkCommonPages(with wanted: [Memslot]) {
        for slot in active {
            for page in 0..<slot.pageCount {
                let address = GuestPhysicalAddress(
                    slot.guestPhysicalAddress.rawValue + page * pageSize.rawValue)
                func isMapped(by array: [Memslot]) -> Bool {
                    array.contains { $0.contains(address, in: slot.addressSpace) }
                }
                check(
                    !isMapped(by: wanted) || isMapped(by: installed), .guestSeesWhole,
                    "page \(address) is missing with a vCPU in the guest: \(installed)")
            }
        }
    }

    /// Checks an operation beside the guest, where only continuity is promised.
    private func checkContinuity(at call: SlotCall, with wanted: [Memslot]) {
        guard guests > 0, let slot = call.before else { return }
        let isExcused = transaction.isUndoing && hasTimedOut
        check(
            !slot.isLogging || call.needsQuiescence == false || isExcused, .vcpusHeld,
            "\(call.name) \(call.key) of a slot that logs, while \(guests) vCPUs are in the guest")
        if case .reflag = call { return }
        check(
            ![active, wanted].allSatisfy { $0.contains { $0.overlaps(slot) } }, .vcpusHeld,
            "\(call.name) \(call.key), which stays, while \(guests) vCPUs are in the guest")
    }

    /// Checks before an operation that vCPUs are held if it needs that.
    func checkGuests(at call: SlotCall) {
        if let wanted = transaction.continuity { return checkContinuity(at: call, with: wanted) }
        check(
            transaction.deletedBesideGuest == nil, .vcpusHeld,
            "\(call.name) \(call.key) after a deletion beside the guest")
        guard guests > 0 else { return }
        transaction.ranBesideGuest = true
        if case .delete(let slot) = call, !slot.isLogging, !transaction.isUndoing,
            transaction.calls.isEmpty
        {
            transaction.deletedBesideGuest = slot
            return
        }
        // A plan that ran beside the guest may be undone beside a vCPU that does not leave.
        let isExcused =
            transaction.isUndoing && hasTimedOut
            && !transaction.calls.contains(where: \.needsQuiescence)
        check(
            !call.needsQuiescence || isExcused, .vcpusHeld,
            "\(call.name) \(call.key) while \(guests) vCPUs are in the guest")
    }

    func checkInstalled() {
        check(
            installed == active, .installedIsActive,
            "the array is \(active), installed are \(installed)")
        checkPrivateRanges(nil)
    }

    /// Checks that the private ranges are those of the active array, or as `failure` describes them.
    func checkPrivateRanges(_ failure: TableFailure?) {
        var wanted = GuestRangeSet(activePrivateRanges)
        wanted.apply(failure?.attributes ?? [])
        check(
            simulator.privateRanges == wanted.ranges, .installedIsActive,
            "private are \(simulator.privateRanges), not \(wanted.ranges)")
    }
}
