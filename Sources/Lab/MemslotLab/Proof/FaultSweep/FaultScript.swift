package import Memslots

/// Which calls of a transaction are to fail, and with what.
///
/// Slot calls and readings of dirty logs are counted apart, from 0 on through the undo. A recovery
/// counts from 0 again.
package struct FaultScript: Sendable {
    /// Slot calls that fail, by their number.
    package var calls: [Int: Errno] = [:]
    /// From this slot call on all fail.
    package var callsFrom: (number: Int, errno: Errno)?
    /// Readings of dirty logs that fail, by their number.
    package var reads: [Int: Errno] = [:]
    /// From this reading on all fail.
    package var readsFrom: (number: Int, errno: Errno)?

    /// A script in which nothing fails.
    package init() {}

    /// One slot call that fails.
    package init(call: Int, _ errno: Errno) { calls[call] = errno }

    func errno(ofCall number: Int) -> Errno? {
        if let from = callsFrom, number >= from.number { return from.errno }
        return calls[number]
    }

    func errno(ofRead number: Int) -> Errno? {
        if let from = readsFrom, number >= from.number { return from.errno }
        return reads[number]
    }
}
