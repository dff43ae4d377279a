/// What a run measured.
package struct BenchmarkReport: Hashable, Sendable {
    /// What one part measured, or why it didn't.
    package struct Section: Hashable, Sendable {
        /// The part.
        package let part: BenchmarkPart
        /// Its figures.
        package var rows: [BenchmarkRow] = []
        /// What was passed over, and why.
        package var skipped: [String] = []

        init(_ part: BenchmarkPart) { self.part = part }
    }

    /// Where it was measured.
    package let machine: MachineDescription
    /// The parts that were asked for, in order.
    package var sections: [Section] = []

    /// A report without figures.
    package init(on machine: MachineDescription) { self.machine = machine }

    /// All rows that have a target.
    package var judged: [BenchmarkRow] { sections.flatMap(\.rows).filter { $0.target != nil } }

    /// The rows of a part.
    func rows(of part: BenchmarkPart) -> [BenchmarkRow] {
        sections.filter { $0.part == part }.flatMap(\.rows)
    }

    /// Measures the parts, one after the other.
    ///
    /// - Parameters:
    ///   - parts: what to measure.
    ///   - effort: how much.
    ///   - progress: called with what is about to be measured.
    /// - Throws: ``BenchmarkError/broken(_:)`` where something measured gave a wrong result.
    package static func measure(
        _ parts: [BenchmarkPart], effort: Effort, progress: (String) -> Void
    ) throws(BenchmarkError) -> BenchmarkReport {
        var report = BenchmarkReport(on: .here())
        for part in parts {
            var section = Section(part)
            for step in part.steps {
                progress("\(part.rawValue): \(step.name)")
                do throws(BenchmarkError) {
                    section.rows += try step.measure(effort)
                } catch {
                    guard case .unavailable(let reason) = error else { throw error }
                    section.skipped.append("\(step.name): \(reason)")
                }
            }
            report.sections.append(section)
        }
        return report
    }
}
