/// What a sweep has visited, and what it found.
package struct SweepReport: Sendable {
    /// Submits that had something to carry out.
    package var submits = 0
    /// Submits that changed nothing, or were refused before any call.
    package var withoutCalls = 0
    /// Submits that the VMs at hand can't play, by reason.
    package var passedOver: [String: Int] = [:]
    /// Points visited, by kind.
    package var visited: [FaultPoint.Kind: Int] = [:]
    /// Points that were left out in very long plans.
    package var leftOut = 0
    /// What did not hold, each with where.
    package var findings: [String] = []

    /// Nothing yet.
    package init() {}

    /// All points visited.
    package var points: Int { visited.values.reduce(0, +) }

    /// Adds what another sweep has visited.
    package mutating func add(_ other: SweepReport) {
        submits += other.submits
        withoutCalls += other.withoutCalls
        passedOver.merge(other.passedOver, uniquingKeysWith: +)
        visited.merge(other.visited, uniquingKeysWith: +)
        leftOut += other.leftOut
        findings += other.findings
    }

    /// The lines that a terminal gets.
    package var lines: [String] {
        var lines = FaultPoint.Kind.allCases.compactMap { kind in
            visited[kind].map { "\(Self.aligned($0))  \(kind.rawValue)" }
        }
        lines.append(
            "\(Self.aligned(points))  points in \(submits) submits, \(findings.count) wrong")
        if withoutCalls > 0 {
            lines.append("\(Self.aligned(withoutCalls))  submits without a call to fail")
        }
        for (reason, count) in passedOver.sorted(by: { $0.key < $1.key }) {
            lines.append("\(Self.aligned(count))  submits passed over: \(reason)")
        }
        if leftOut > 0 {
            lines.append("\(Self.aligned(leftOut))  points left out in very long plans")
        }
        return lines
    }

    private static func aligned(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: " ", count: max(0, 9 - digits.count)) + digits
    }
}
