import Dispatch
import Memslots

/// Injects every fault into a submit: the VM must be as before, as wanted, or failed and recovered.
package struct FaultSweep: Sendable {
    private let factory: any VMFactory
    private let longest: Int
    /// Whether each point has its own VM, instead of one VM for all points.
    private let separately: Bool
    /// One point in so many is visited.
    private let every: Int

    /// In a plan with more operations than `longest`, some points are sampled. One point in `every`
    /// is visited. `separately`: each point has its own VM.
    package init(
        on factory: any VMFactory, longest: Int = 40, separately: Bool = false, every: Int = 1
    ) {
        (self.factory, self.longest, self.separately) = (factory, longest, separately)
        self.every = max(1, every)
    }

    package func sweep(_ scene: SweepScene) -> SweepReport {
        var scene = scene
        var report = SweepReport()
        if let reason = factory.reasonToSkip(scene) {
            report.skipped[reason] = 1
            return report
        }
        do throws(SweepWorld.Impossible) {
            guard let run = try cleanRun(scene) else {
                report.withoutOperations = 1
                return report
            }
            report.submits = 1
            if scene.wanted.count(where: { $0.id == nil }) > 16 {
                // Picking so many ids again at each point would dominate the time.
                scene.wanted = run.receipt.slots
            }
            try sweep(scene, run, &report)
        } catch { report.findings.append("\(scene.origin): \(error.reason)") }
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

    /// Submits without a fault; returns `nil` if the plan has no operation.
    private func cleanRun(_ scene: SweepScene) throws(SweepWorld.Impossible) -> CleanRun? {
        let world = try SweepWorld(scene, on: factory)
        world.begin()
        let first = world.backEnd?.received ?? 0
        guard case .success(let receipt) = world.submit(), !receipt.operations.isEmpty else {
            return nil
        }
        let beside = receipt.quiesced ? world.backend.beside : receipt.operations.map { _ in false }
        return CleanRun(
            calls: receipt.operations.map(\.call), reads: world.backend.reads,
            preparations: world.hookLog.calls.filter { $0.phase == .prepare },
            quiesced: receipt.quiesced, receipt: receipt,
            head: beside.prefix { $0 }.count, tail: beside.lastIndex(of: false).map { $0 + 1 } ?? 0,
            prepared: (world.backEnd?.prepared ?? 0) - first,
            messages: (world.backEnd?.received ?? 0) - first)
    }

    private func sweep(
        _ scene: SweepScene, _ run: CleanRun, _ report: inout SweepReport
    ) throws(SweepWorld.Impossible) {
        let list = PointList(run, longest: longest)
        report.omitted += list.omitted
        var world: SweepWorld?
        for (index, point) in list.points.enumerated() {
            // Other points in each submit.
            let turn = index + list.points.count + scene.before.count
            guard turn % every == 0 || point == .nothing else { continue }
            if separately { world = nil }
            let present = if let world { world } else { try SweepWorld(scene, on: factory) }
            world = present
            var visit = PointVisit(point: point, world: present, run: run)
            visit.execute()
            // What was reported too much stays dirty where no guest writes.
            if visit.overReports || visit.commits { world = nil }
            report.visited[point.kind, default: 0] += 1
            if visit.recoveries > 0 { report.visited[.recovery, default: 0] += visit.recoveries }
            if !visit.findings.isEmpty {
                report.findings += visit.findings.map { "\(scene.origin): \(point): \($0)" }
                // Further points in a broken world would report follow-up faults.
                world = nil
            }
        }
    }
}

package struct SweepReport: Sendable {
    /// Submits with at least one operation.
    package var submits = 0
    /// Submits that changed nothing or were refused before any operation.
    package var withoutOperations = 0
    /// Submits that the VMs do not support, by reason.
    package var skipped: [String: Int] = [:]
    package var visited: [FaultPoint.Kind: Int] = [:]
    package var omitted = 0
    package var findings: [String] = []

    package init() {}
    package var points: Int { visited.values.reduce(0, +) }

    package mutating func add(_ other: SweepReport) {
        submits += other.submits
        withoutOperations += other.withoutOperations
        skipped.merge(other.skipped, uniquingKeysWith: +)
        visited.merge(other.visited, uniquingKeysWith: +)
        omitted += other.omitted
        findings += other.findings
    }

    package var lines: [String] {
        var rows = FaultPoint.Kind.allCases.compactMap { kind in
            visited[kind].map { ($0, kind.rawValue) }
        }
        rows.append((points, "points in \(submits) submits, \(findings.count) wrong"))
        if withoutOperations > 0 {
            rows.append((withoutOperations, "submits without an operation"))
        }
        rows += skipped.sorted { $0.key < $1.key }.map { ($0.value, "submits skipped: \($0.key)") }
        if omitted > 0 { rows.append((omitted, "points omitted from long plans")) }
        return rows.map { count, what in
            let digits = String(count)
            return String(repeating: " ", count: max(0, 9 - digits.count)) + "\(digits)  \(what)"
        }
    }
}
