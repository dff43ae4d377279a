import MemslotProtocol
package import MemslotScenario
import Memslots

/// A failed call and why it failed.
package struct ExplainedFailure: Sendable {
    package var call: FailedCall
    package var explanation: Explanation

    /// - Parameters:
    ///   - array: the slots at the call.
    ///   - isWhole: whether they are known from the creation of the VM.
    init(_ call: FailedCall, array: [Memslot], isWhole: Bool) {
        self.call = call
        guard let region = call.region else {
            explanation = Explanation(errno: call.errno)
            return
        }
        var needs = SimulatedParameters()
        array.forEach { needs.include($0) }
        var attempt = AttemptedCall(region, slots: array, limits: needs.likelyLimits)
        attempt.hasUserAddress = call.hasUserAddress
        explanation = Explanation(attempt, errno: call.errno, isWhole: isWhole)
    }

    /// The call's words, as far as they are known.
    package var words: String {
        guard let region = call.region else { return "a slot call" }
        let slot = Memslot(region)
        guard region.memorySize > 0 else { return "delete slot \(slot.assignedKey)" }
        let start = region.guestPhysicalAddress
        let last = start.addingSaturated(region.memorySize - 1)
        return "slot \(slot.assignedKey) at \(hex(first: start, last: last))"
            + (region.flags == 0 ? "" : ", flags \(hex(region.flags))")
    }
}
