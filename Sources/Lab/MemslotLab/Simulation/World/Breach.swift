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
