package import MemslotKVM
internal import MemslotProtocol
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
