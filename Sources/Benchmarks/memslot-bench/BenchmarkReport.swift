import CYardsticks
import Foundation
import MemslotKVM
import MemslotTestKit

package struct BenchmarkReport: Hashable, Encodable, Sendable {
    /// The figures of one part, and the reasons why steps of it were skipped.
    package struct Section: Hashable, Encodable, Sendable {
        package let part: BenchmarkPart
        package var rows: [BenchmarkRow] = []
        package var skipped: [String] = []
    }

    package let machine: MachineDescription
    package var sections: [Section] = []

    private enum CodingKeys: String, CodingKey {
        case machine
        case sections = "parts"
    }

    package var targeted: [BenchmarkRow] { sections.flatMap(\.rows).filter { $0.target != nil } }
    var missed: [BenchmarkRow] { targeted.filter { $0.isMet == false } }

    /// One JSON object: times in nanoseconds, sizes in bytes, rates a second.
    package var json: String {
        get throws { String(decoding: try JSONEncoder().encode(self), as: UTF8.self) }
    }

    /// Measures the parts. Calls `progress` with the name of each step before it is measured.
    package static func measure(
        _ parts: [BenchmarkPart], effort: Effort, progress: (String) -> Void
    ) throws -> BenchmarkReport {
        var report = BenchmarkReport(machine: .here())
        for part in parts {
            var section = Section(part: part)
            for step in part.steps {
                progress("\(part.rawValue): \(step.name)")
                do {
                    section.rows += try step.measure(effort)
                } catch BenchmarkError.unavailable(let reason) {
                    section.skipped.append("\(step.name): \(reason)")
                }
            }
            report.sections.append(section)
        }
        return report
    }
}

package enum BenchmarkError: Error, Hashable, Sendable {
    /// The machine lacks something, such as `/dev/kvm`: the step is skipped and named.
    case unavailable(String)
    /// Something failed or gave a wrong result: the run ends.
    case broken(String)
}

/// Ends the run unless a benchmark gave a right result.
func require(_ isRight: Bool, _ reason: @autoclosure () -> String) throws {
    if !isRight { throw BenchmarkError.broken(reason()) }
}

/// The parts of the benchmark, by the names of the command line.
package enum BenchmarkPart: String, CaseIterable, Hashable, Encodable, Sendable {
    case lookup, diff, apply, holds, wire, start, growth

    var title: String { contents.title }
    var steps: [BenchmarkStep] { contents.steps }

    private var contents: (title: String, steps: [BenchmarkStep]) {
        switch self {
        case .lookup: ("Translating a guest address", LookupBenchmarks.steps)
        case .diff: ("From the array to the plan", DiffBenchmarks.steps)
        case .apply:
            (
                "Committing a transaction",
                OverheadBenchmarks.steps + TransactionBenchmarks.steps + Self.guestSteps.blackouts
            )
        case .holds: ("Holding vCPUs", Self.guestSteps.holds)
        case .wire: ("From bytes to the reply", WireBenchmarks.steps)
        case .start: ("Start and memory", StartBenchmarks.steps)
        case .growth: ("Growth", GrowthBenchmarks.steps)
        }
    }

    private static var guestSteps: (blackouts: [BenchmarkStep], holds: [BenchmarkStep]) {
        #if arch(x86_64)
            return (BlackoutBenchmarks.steps, HoldBenchmarks.steps)
        #else
            let missing = BenchmarkStep(name: "blackout") { _ in
                throw BenchmarkError.unavailable("there is no guest program for this processor")
            }
            return ([missing], [missing])
        #endif
    }
}

/// A measurement that can be skipped by itself.
struct BenchmarkStep: Sendable {
    let name: String
    let measure: @Sendable (Effort) throws -> [BenchmarkRow]
}

/// The machine that figures come from.
package struct MachineDescription: Hashable, Encodable, Sendable {
    package var processor: String
    /// How many processors the benchmark may use.
    package var cores: Int
    package var kernel: String
    /// Whether `/dev/kvm` makes VMs.
    package var hasKVM: Bool
    /// Whether the yardsticks compare nodes by AVX-512.
    package var hasAVX512: Bool

    private enum CodingKeys: String, CodingKey {
        case processor, cores, kernel
        case hasKVM = "kvm"
        case hasAVX512 = "avx512"
    }

    static func here() -> MachineDescription {
        let kernel = Files.text(of: "/proc/sys/kernel/osrelease")?.dropLast()
        let lines = Files.text(of: "/proc/cpuinfo")?.split(separator: "\n") ?? []
        let model = lines.first { $0.hasPrefix("model name") }.map { $0.drop { $0 != ":" } }
        return MachineDescription(
            processor: model.map { String($0.drop { ": ".contains($0) }) } ?? "unknown processor",
            cores: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), kernel: String(kernel ?? ""),
            hasKVM: (try? KVMSystem().makeVirtualMachine()) != nil, hasAVX512: ys_has_avx512() != 0)
    }

    var text: String {
        "\(processor), \(cores) processors, Linux \(kernel), "
            + (hasKVM ? "KVM" : "no KVM") + (hasAVX512 ? ", AVX-512" : "")
    }
}
