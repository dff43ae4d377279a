import Memslots

/// What has been seen of the transaction that runs, or that ran last.
struct TransactionRecord {
    /// How many waits had timed out when it began.
    var timeoutsBefore = 0
    /// Whether it is the recovery of a failed table.
    var isRecovery = false
    /// The calls that were carried out.
    var calls: [SlotCall] = []
    /// What backend calls were made to fail with, in order.
    var faults: [Errno] = []
    /// Whether a call failed, so that what comes now is its undo.
    var isUndoing = false
    /// How many hooks refused.
    var vetoes = 0
    /// Whether all calls are done, as the first `commit` of a hook shows.
    var isSwitched = false
    /// Whether a vCPU was in the guest when a call was carried out.
    var ranBesideGuest = false
}
