import MemslotProtocol
package import MemslotScenario
import Memslots

/// A slot call or a `KVM_RUN` that failed, and why.
package struct ExplainedFailure: Sendable {
    package var call: RecordedCall
    /// What the call was to do.
    package let words: String
    package var explanation: Explanation

    /// The `array` at the call `isWhole` if it is known from the VM's creation.
    init(_ call: RecordedCall, array: [Memslot], isWhole: Bool) {
        self.call = call
        let errno = call.errno ?? ""
        guard let region = call.region else {
            (words, explanation) = ("a slot call", Explanation(errno: errno))
            return
        }
        words = Self.words(region)
        var needs = SimulatedParameters()
        array.forEach { needs.include($0) }
        var attempt = AttemptedCall(region, slots: array, limits: needs.likelyLimits)
        attempt.hasUserAddress = call.hasUserAddress
        explanation = Explanation(attempt, errno: errno, isWhole: isWhole)
    }

    /// `slots` are the VM's at that moment; `changes` what a log shows of earlier calls.
    init(_ fault: RunFault, of machine: Int, under slots: [Memslot], changes: [String] = []) {
        call = RecordedCall(
            line: fault.line, thread: fault.thread, time: fault.time, machine: machine,
            errno: "EFAULT")
        words = "KVM_RUN"
        explanation = .runFault(
            shown: fault.shown(under: slots) ?? changes,
            isMeasured: fault.mappings?.isEmpty == false)
        if let text = fault.text { explanation.sentences = [text] }
    }

    private static func words(_ region: RawRegion) -> String {
        let slot = Memslot(region)
        guard region.memorySize > 0 else { return "delete slot \(slot.assignedKey)" }
        let start = region.guestPhysicalAddress
        let last = start.addingSaturated(region.memorySize - 1)
        return "slot \(slot.assignedKey) at \(hex(first: start, last: last))"
            + (region.flags == 0 ? "" : ", flags \(hex(region.flags))")
    }
}
