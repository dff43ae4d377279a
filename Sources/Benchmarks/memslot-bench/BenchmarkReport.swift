import CYardsticks
import Glibc
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

    func rows(of part: BenchmarkPart) -> [BenchmarkRow] {
        sections.filter { $0.part == part }.flatMap(\.rows)
    }

    /// Measures the parts one after the other.
    ///
    /// - Parameters:
    ///   - parts: what to measure.
    ///   - effort: how many rounds.
    ///   - progress: called with the name of each step before it is measured.
    /// - Throws: ``BenchmarkError/broken(_:)`` if a benchmark gave a wrong result.
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
    /// Translating a guest address, and entering the section in which that is safe.
    case lookup
    /// From a submitted array to its plan.
    case diff
    /// Committing a transaction.
    case apply
    /// Holding vCPUs, by their number and by what they do.
    case holds
    /// From the bytes of a request to its reply, through `memslotd`.
    case wire
    /// How soon the programs are ready, and how much memory they use.
    case start
    /// The cost of more VMs and more threads.
    case growth

    var title: String {
        switch self {
        case .lookup: "Translating a guest address"
        case .diff: "From the array to the plan"
        case .apply: "Committing a transaction"
        case .holds: "Holding vCPUs"
        case .wire: "From bytes to the reply"
        case .start: "Start and memory"
        case .growth: "Growth"
        }
    }

    var steps: [BenchmarkStep] {
        switch self {
        case .lookup: LookupBenchmarks.steps
        case .diff: DiffBenchmarks.steps
        case .apply:
            OverheadBenchmarks.steps + TransactionBenchmarks.steps + Self.guestSteps.blackouts
        case .holds: Self.guestSteps.holds
        case .wire: WireBenchmarks.steps
        case .start: StartBenchmarks.steps
        case .growth: GrowthBenchmarks.steps
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
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: &name.release) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return MachineDescription(
            processor: processorName(), cores: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            kernel: release, hasKVM: (try? KVMSystem().makeVirtualMachine()) != nil,
            hasAVX512: ys_has_avx512() != 0)
    }

    private static func processorName() -> String {
        let lines = Files.text(of: "/proc/cpuinfo")?.split(separator: "\n") ?? []
        for line in lines where line.hasPrefix("model name") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        return "unknown processor"
    }

    var text: String {
        "\(processor), \(cores) processors, Linux \(kernel), "
            + (hasKVM ? "KVM" : "no KVM") + (hasAVX512 ? ", AVX-512" : "")
    }
}
