package import MemslotKVM
package import MemslotScenario
import MemslotSimulator
import MemslotTestKit
package import Memslots

package struct Comparison {
    package typealias MakeTarget = () throws(KVMError) -> any RawCallTarget

    private let capabilities: Capabilities
    private let makeTarget: MakeTarget
    private let hasRegion2, hasGuest: Bool

    /// Calls to a VM before a fresh one replaces it. A printed difference is a sequence for one.
    package var callsPerVM = 5_000
    /// The most attempts to find a shorter sequence.
    package var shrinkingTries = 3_000

    /// Compares the VMs of `makeTarget`; the simulator has the limits `capabilities`. `hasRegion2`:
    /// they have `KVM_SET_USER_MEMORY_REGION2`. `hasGuest`: guests of x86-64 write to them.
    package init(
        capabilities: Capabilities, hasRegion2: Bool = true, hasGuest: Bool = true,
        makeTarget: @escaping MakeTarget
    ) {
        (self.capabilities, self.hasRegion2, self.hasGuest) = (capabilities, hasRegion2, hasGuest)
        self.makeTarget = makeTarget
    }

    package init(with system: KVMSystem) throws(KVMError) {
        let vm = try system.makeVirtualMachine()
        self.init(
            capabilities: try KernelTarget.capabilities(of: system),
            hasRegion2: KVMCapabilities(of: vm).hasRegion2
        ) { () throws(KVMError) in try KernelTarget(system: system) }
    }

    /// Draws `count` calls and compares the replies, up to the first difference. A seed draws the
    /// same calls on hosts with the same limits. Throws why a VM could not be created.
    package func run(
        seed: UInt64, count: Int, progress: (Int) -> Void = { _ in }
    ) throws(KVMError) -> ComparisonReport {
        var generator = CallGenerator(
            random: SeededRandom(seed: seed), limits: capabilities, hasRegion2: hasRegion2,
            hasGuest: hasGuest)
        var report = ComparisonReport()
        while report.calls < count {
            let calls = min(callsPerVM, count - report.calls)
            var session = try TwinSession(capabilities, makeTarget)
            for _ in 0..<calls where session.difference == nil {
                let reply = session.compare(generator.next(session.twin))
                report.count(reply)
            }
            session.finish()
            if let difference = session.difference {
                report.difference = try shrunk(difference)
                return report
            }
            progress(report.calls)
        }
        return report
    }

    /// Whether hosts must reply alike: little is allocated, and guests write to mapped memory.
    static func isFair(_ call: RawCall, to twin: SimulatedRawVM) -> Bool {
        switch call {
        case .setRegion(let region):
            return region.memorySize <= CallGenerator.largestSlot || !twin.accepts(region)
        case .guestWrite(let address): return twin.isPredictable(writeTo: address)
        default: return true
        }
    }

    /// Removes larger parts, then smaller ones, down to calls, while the rest still differs
    /// (Zeller's delta debugging). Each part from the end.
    private func shrunk(_ difference: Difference) throws(KVMError) -> Difference {
        var (best, tries) = (difference, shrinkingTries)
        var part = max(1, best.lines.count / 2)
        while true {
            let before = best.lines.count
            var end = before
            while end > 0, tries > 0 {
                let start = max(0, end - part)
                var calls = best.lines.map(\.call)
                calls.removeSubrange(start..<end)
                tries -= 1
                if let found = try self.difference(after: calls),
                    found.lines.count < best.lines.count
                {
                    best = found
                }
                end = min(start, best.lines.count)
            }
            if part > 1 {
                part = max(1, part / 2)
            } else if best.lines.count == before || tries <= 0 {
                return best
            }
        }
    }

    /// Sends calls to a fresh VM and its twin.
    private func difference(after calls: [RawCall]) throws(KVMError) -> Difference? {
        var session = try TwinSession(capabilities, makeTarget)
        for call in calls where session.difference == nil {
            if Self.isFair(call, to: session.twin) { session.compare(call) }
        }
        session.finish()
        return session.difference
    }
}

package struct ComparisonReport: Sendable {
    package private(set) var calls = 0
    /// The number of replies of each kind: an errno, `success`, or how a guest exited.
    package private(set) var results: [String: Int] = [:]
    /// The first difference, shrunk; `nil` if there is none.
    package internal(set) var difference: Difference?

    mutating func count(_ reply: RawReply) {
        calls += 1
        results[reply.errno?.name ?? reply.exit ?? "success", default: 0] += 1
    }
}

/// A sequence of calls whose last reply differs, or the slots after it.
package struct Difference: Sendable, Hashable {
    /// The calls with the replies of the VM.
    package internal(set) var lines: [RawCallLine]
    /// The simulator's reply to the last call; `nil` if only the installed slots differ.
    package internal(set) var simulated: RawReply?
    /// How the installed slots differ from the simulator's; `nil` if a reply differs.
    package internal(set) var installed: String?

    package var description: String {
        if let installed { return "after these calls: \(installed)" }
        let kernel = lines.last?.expected?.description ?? "nothing"
        let twin = simulated?.description ?? "nothing"
        return "the last call: the VM replies \(kernel), the simulator \(twin)"
    }
}

struct TwinSession {
    let twin: SimulatedRawVM
    private let target: any RawCallTarget
    private var lines: [RawCallLine] = []
    private(set) var difference: Difference?

    init(_ capabilities: Capabilities, _ makeTarget: Comparison.MakeTarget) throws(KVMError) {
        twin = SimulatedRawVM(capabilities: capabilities)
        target = try makeTarget()
    }

    /// Sends a call to both. Returns the VM's reply.
    @discardableResult
    mutating func compare(_ call: RawCall) -> RawReply {
        let reply = target.apply(call)
        let simulated = twin.apply(call)
        lines.append(RawCallLine(call, expected: reply))
        if reply != simulated {
            difference = Difference(lines: lines, simulated: simulated, installed: nil)
        }
        return reply
    }

    /// Compares the state at the end: every dirty log and every slot.
    mutating func finish() {
        let calls = lines.count
        for slot in twin.slots where slot.isLogging && difference == nil {
            compare(.getDirtyLog(slot: slot.assignedKey.kernelWord, isWritable: true))
        }
        guard difference == nil,
            let found = target.difference(
                from: twin.slots, protection: twin.kernel.dirtyLogProtection.rawValue)
        else { return }
        // Without the reads above, which are equal and would count against a shorter sequence.
        difference = Difference(lines: Array(lines.prefix(calls)), simulated: nil, installed: found)
    }
}
