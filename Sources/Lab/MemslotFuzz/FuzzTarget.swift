/// What bytes of any kind are fed to.
///
/// Each target must take every input: it returns, or says in a sentence what went wrong. A trap, a
/// leak, an input that takes seconds or much memory are what libFuzzer finds by itself.
enum FuzzTarget: String, CaseIterable {
    /// Lines of a client, decoded and carried out by a service with simulated VMs.
    case messages
    /// Scenario files, and array files.
    case scenarios
    /// strace logs.
    case traces
    /// Arrays, validated, compared, planned, and carried out on the simulator.
    case plans
    /// A stream in pieces, cut into lines.
    case lines

    /// Feeds `bytes` to the target.
    ///
    /// - Returns: which promise was broken; `nil` where all held.
    func run(_ bytes: [UInt8]) -> String? {
        switch self {
        case .messages: MessageFuzz.run(bytes)
        case .scenarios: ScenarioFuzz.run(bytes)
        case .traces: TraceFuzz.run(bytes)
        case .plans: PlanFuzz.run(bytes)
        case .lines: LineFuzz.run(bytes)
        }
    }
}
