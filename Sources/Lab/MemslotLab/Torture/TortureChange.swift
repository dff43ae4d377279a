/// What the transactions change. The guest's addresses show the same host pages in every array.
package enum TortureChange: String, Hashable, Sendable, CaseIterable {
    /// The region as one slot, and as two to four.
    case split
    /// The region as four slots, and with neighbours made one.
    case merge
    /// Two slots whose boundary is somewhere else each time.
    case resize
    /// The slot goes elsewhere, and another of the same host pages takes its place.
    case move
    /// Two slots of the same host pages change places.
    case swap
    /// The same slots by another mapping of the same memory.
    case remap
    /// Slots become read-only and writable again, under a guest that reads.
    case romd
    /// Any of them but ``romd``, one after the other.
    case mix
}
