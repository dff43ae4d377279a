import Dispatch
import Memslots

/// Tries every fault in a submit, and looks each time whether the VM is exactly as before, exactly
/// as wanted, or named failed and brought back.
package struct FaultSweep: Sendable {
    /// With more slots without an id than this, the points are visited with the ids picked.
    private static let mostPicked = 16

    private let ground: any SweepGround
    private let longest: Int
    /// Each point in a VM of its own, instead of one VM that goes through them all.
    private let separately: Bool
    /// One point in so many is visited.
    private let every: Int

    /// A sweep.
    ///
    /// - Parameters:
    ///   - ground: what the VMs are.
    ///   - longest: in a plan of more calls than this, some points are sampled.
    ///   - separately: whether each point gets a VM of its own.
    ///   - every: 1 visits every point, n one in n.
    package init(
        on ground: any SweepGround, longest: Int = 40, separately: Bool = false, every: Int = 1
    ) {
        self.ground = ground
        self.longest = longest
        self.separately = separately
        self.every = max(1, every)
    }

    /// Sweeps one submit.
    package func sweep(_ scene: SweepScene) -> SweepReport {
        var scene = scene
        var report = SweepReport()
        if let lack = ground.lack(for: scene) {
            report.passedOver[lack] = 1
            return report
        }
        do throws(SweepWorld.Impossible) {
            guard let run = try cleanRun(scene) else {
                report.withoutCalls = 1
                return report
            }
            report.submits = 1
            if scene.wanted.count(where: { $0.id == nil }) > Self.mostPicked {
                // To search for so many ids at each point would take longer than all the rest.
                scene.wanted = run.receipt.slots
            }
            try sweep(scene, run, &report)
        } catch {
            report.findings.append("\(scene.origin): \(error.reason)")
        }
        return report
    }

    /// Sweeps many submits, several at a time.
    package static func sweep(_ scenes: [SweepScene], by sweeps: [FaultSweep]) -> SweepReport {
        let parts = Locked([SweepReport](repeating: SweepReport(), count: scenes.count))
        DispatchQueue.concurrentPerform(iterations: scenes.count) { index in
            var part = SweepReport()
            for sweep in sweeps { part.add(sweep.sweep(scenes[index])) }
            let done = part
            parts.withLock { $0[index] = done }
        }
        return parts.withLock { $0 }.reduce(into: SweepReport()) { $0.add($1) }
    }

    /// The submit without a fault; `nil` where it makes no call.
    private func cleanRun(_ scene: SweepScene) throws(SweepWorld.Impossible) -> CleanRun? {
        let world = try SweepWorld(scene, on: ground)
        world.begin()
        guard case .success(let receipt) = world.submit(), !receipt.operations.isEmpty else {
            return nil
        }
        let names = Dictionary(uniqueKeysWithValues: world.descriptors.map { ($1, $0) })
        let run = CleanRun(
            calls: receipt.operations.map(\.call), reads: world.backend.counts.reads,
            notes: world.book.notes, quiesced: receipt.quiesced, receipt: receipt)
        return run.renaming(names)
    }

    private func sweep(
        _ scene: SweepScene, _ run: CleanRun, _ report: inout SweepReport
    ) throws(SweepWorld.Impossible) {
        let list = PointList(run, longest: longest)
        report.leftOut += list.leftOut
        var world: SweepWorld?
        for (index, point) in list.points.enumerated() {
            // Not the same points of every submit.
            let turn = index + list.points.count + scene.before.count
            guard turn % every == 0 || point == .nothing else { continue }
            if separately { world = nil }
            let present: SweepWorld
            if let world { present = world } else { present = try SweepWorld(scene, on: ground) }
            world = present
            var visit = PointVisit(point, in: present, run.renaming(present.descriptors))
            visit.visit()
            report.visited[point.kind, default: 0] += 1
            if visit.recoveries > 0 {
                report.visited[.recovery, default: 0] += visit.recoveries
            }
            if !visit.findings.isEmpty {
                report.findings += visit.findings.map { "\(scene.origin): \(point): \($0)" }
                // What comes of a world that is wrong says nothing.
                world = nil
            }
        }
    }
}

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
