package import MemslotKVM
import MemslotProtocol
package import MemslotScenario
package import Memslots

/// Holds a VM against the simulator, call by call.
package struct Comparison {
    /// Makes a fresh VM of the kind that is held against the simulator.
    package typealias MakeTarget = () throws(KVMError) -> any RawCallTarget

    private let capabilities: Capabilities
    private let makeTarget: MakeTarget
    private let hasRegion2: Bool

    /// How many calls a VM gets before another takes its place. What is printed when something
    /// differs is for one VM.
    package var callsPerVM = 5_000
    /// How often a shorter sequence is tried at most.
    package var shrinkingTries = 3_000

    /// Compares what `makeTarget` makes.
    ///
    /// - Parameters:
    ///   - capabilities: what the VMs allow; the simulator's are the same.
    ///   - hasRegion2: whether they take `KVM_SET_USER_MEMORY_REGION2`.
    package init(
        capabilities: Capabilities, hasRegion2: Bool = true, makeTarget: @escaping MakeTarget
    ) {
        self.capabilities = capabilities
        self.hasRegion2 = hasRegion2
        self.makeTarget = makeTarget
    }

    /// Compares the host's KVM.
    package init(with system: KVMSystem) throws(KVMError) {
        let vm = try system.makeVirtualMachine()
        self.init(
            capabilities: try KernelTarget.capabilities(of: system),
            hasRegion2: KVMCapabilities(of: vm).hasRegion2
        ) { () throws(KVMError) in try KernelTarget(system: system) }
    }

    /// Draws `count` calls and compares the answers; stops at the first difference.
    ///
    /// - Parameters:
    ///   - seed: the same seed draws the same calls on hosts with the same limits.
    ///   - progress: told how many calls have been compared, now and then.
    /// - Throws: where no VM can be had.
    package func run(
        seed: UInt64, count: Int, progress: (Int) -> Void = { _ in }
    ) throws(KVMError) -> ComparisonReport {
        var generator = CallGenerator(
            seed: seed, capabilities: capabilities, hasRegion2: hasRegion2)
        var report = ComparisonReport()
        while report.calls < count {
            let calls = min(callsPerVM, count - report.calls)
            var session = try TwinSession(capabilities, makeTarget)
            for _ in 0..<calls where session.difference == nil {
                let reply = session.compare(generator.next(session.twin))
                report.note(reply)
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

    /// Whether a call has one right answer on every host: nothing is allocated by a size that no
    /// host has, and a guest writes to mapped memory alone.
    static func isFair(_ call: RawCall, to twin: SimulatedTarget) -> Bool {
        switch call {
        case .setRegion(let region):
            return region.memorySize <= RandomWords.largestSlot || !twin.takes(region)
        case .guestWrite(let address): return twin.isPredictable(writeTo: address)
        default: return true
        }
    }

    /// The shortest sequence found that differs.
    private func shrunk(_ difference: Difference) throws(KVMError) -> Difference {
        var shrinking = Shrinking(tries: shrinkingTries)
        return try shrinking.shortest(difference) { calls throws(KVMError) in
            var session = try TwinSession(capabilities, makeTarget)
            for call in calls where session.difference == nil {
                guard Self.isFair(call, to: session.twin) else { continue }
                session.compare(call)
            }
            session.finish()
            return session.difference
        }
    }
}

/// What a comparison found.
package struct ComparisonReport: Sendable {
    /// How many calls were compared.
    package private(set) var calls = 0
    /// How often each answer came: an errno, `success`, or how a guest came out.
    package private(set) var answers: [String: Int] = [:]
    /// The first difference, shrunk; `nil` where there was none.
    package internal(set) var difference: Difference?

    mutating func note(_ reply: RawReply) {
        calls += 1
        answers[reply.answer.errno?.name ?? reply.exit ?? "success", default: 0] += 1
    }
}

/// A sequence of calls whose last answer differs.
package struct Difference: Sendable, Hashable {
    /// The calls, each with what the VM answered.
    package internal(set) var lines: [RawCallLine]
    /// What the simulator answered to the last; `nil` where the answers are alike, but not what
    /// is installed afterwards.
    package internal(set) var simulated: RawReply?
    /// What is installed otherwise than the simulator says; `nil` where an answer differs.
    package internal(set) var installed: String?

    /// A sentence that says what differs.
    package var description: String {
        if let installed { return "after these calls: \(installed)" }
        let kernel = lines.last?.expected?.description ?? "nothing"
        let twin = simulated?.description ?? "nothing"
        return "the last call: the VM answers \(kernel); the simulator \(twin)"
    }
}

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

/// Looks for the shortest sequence of calls that still differs, by leaving calls out.
///
/// Larger parts first, then smaller ones, down to single calls, until none can be left out
/// (Zeller's delta debugging).
struct Shrinking {
    /// How often it may still try.
    private var tries: Int

    init(tries: Int) { self.tries = tries }

    /// The shortest sequence found.
    ///
    /// - Parameter differs: carries calls out from a fresh start, and tells what differs.
    mutating func shortest(
        _ difference: Difference, _ differs: ([RawCall]) throws(KVMError) -> Difference?
    ) throws(KVMError) -> Difference {
        var best = difference
        var part = max(1, best.lines.count / 2)
        while true {
            let before = best.lines.count
            try leaveOut(part, of: &best, differs)
            if part > 1 {
                part = max(1, part / 2)
            } else if best.lines.count == before || tries <= 0 {
                return best
            }
        }
    }

    /// Leaves out each part of `length` calls that can be left out, from the end.
    private mutating func leaveOut(
        _ length: Int, of best: inout Difference,
        _ differs: ([RawCall]) throws(KVMError) -> Difference?
    ) throws(KVMError) {
        var end = best.lines.count
        while end > 0, tries > 0 {
            let start = max(0, end - length)
            var calls = best.lines.map(\.call)
            calls.removeSubrange(start..<end)
            tries -= 1
            if let found = try differs(calls), found.lines.count < best.lines.count {
                best = found
            }
            end = min(start, best.lines.count)
        }
    }
}
