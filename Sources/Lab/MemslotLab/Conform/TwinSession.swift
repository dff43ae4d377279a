import MemslotKVM
import MemslotProtocol
import MemslotScenario
import Memslots

/// A VM and its twin that are given the same calls.
struct TwinSession {
    let twin: SimulatedTarget
    private let target: any RawCallTarget
    private var lines: [RawCallLine] = []
    private(set) var difference: Difference?

    init(
        _ capabilities: Capabilities, _ makeTarget: Comparison.MakeTarget
    ) throws(KVMError) {
        twin = SimulatedTarget(capabilities: capabilities)
        target = try makeTarget()
    }

    /// Gives both the call.
    ///
    /// - Returns: the VM's answer.
    @discardableResult
    mutating func compare(_ call: RawCall) -> RawReply {
        let reply = target.carryOut(call)
        let simulated = twin.carryOut(call)
        lines.append(RawCallLine(call, expected: reply))
        if reply != simulated {
            difference = Difference(lines: lines, simulated: simulated, installed: nil)
        }
        return reply
    }

    /// Compares what is left at the end: every dirty log, and every slot.
    mutating func finish() {
        for slot in twin.slots where slot.isLogging && difference == nil {
            compare(.getDirtyLog(slot: slot.word, isWritable: true))
        }
        guard difference == nil else { return }
        let found = target.difference(from: twin.slots, protection: twin.protection)
        if let found { difference = Difference(lines: lines, simulated: nil, installed: found) }
    }
}
