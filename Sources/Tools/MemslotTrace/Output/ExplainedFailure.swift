import MemslotProtocol
package import MemslotScenario
import Memslots

package struct ExplainedFailure: Sendable {
    package var call: FailedCall
    package var explanation: Explanation

    /// The `array` at the call `isWhole` if it is known from the VM's creation.
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
