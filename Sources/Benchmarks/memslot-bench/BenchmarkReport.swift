import CYardsticks
import Glibc

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

/// The parts of the benchmark, by the names of the command line.
package enum BenchmarkPart: String, CaseIterable, Hashable, Sendable {
    /// Translating a guest address, and entering the section in which that is safe.
    case lookup
    /// From a submitted array to its plan.
    case diff
    /// Carrying a transaction out.
    case apply
    /// From a request's bytes to its answer, through `memslotd`.
    case wire
    /// How soon the programs are there, and how much memory they take.
    case start
    /// What more slots, more VMs and more threads cost.
    case growth

    /// The part as a heading.
    var title: String {
        switch self {
        case .lookup: "Translating a guest address"
        case .diff: "From the array to the plan"
        case .apply: "Carrying a transaction out"
        case .wire: "From bytes to the answer"
        case .start: "Start and memory"
        case .growth: "Growth"
        }
    }

    /// What it measures, each by itself.
    var steps: [BenchmarkStep] {
        switch self {
        case .lookup: LookupBenchmarks.steps
        case .diff: DiffBenchmarks.steps
        case .apply: ApplyBenchmarks.steps
        case .wire: WireBenchmarks.steps
        case .start: StartBenchmarks.steps
        case .growth: GrowthBenchmarks.steps
        }
    }
}

/// A measurement that can be passed over by itself.
struct BenchmarkStep: Sendable {
    let name: String
    let measure: @Sendable (Effort) throws(BenchmarkError) -> [BenchmarkRow]

    init(
        _ name: String,
        _ measure: @escaping @Sendable (Effort) throws(BenchmarkError) -> [BenchmarkRow]
    ) {
        self.name = name
        self.measure = measure
    }
}

/// Why a benchmark gave no figures.
package enum BenchmarkError: Error, Hashable, Sendable {
    /// What it needs isn't here, such as `/dev/kvm`: passed over, and told.
    case unavailable(String)
    /// Something gave a wrong result or failed: the run is no good.
    case broken(String)
}

/// The machine that figures come from.
package struct MachineDescription: Hashable, Sendable {
    /// The processor as the kernel names it.
    package var processor: String
    /// How many processors the benchmark may use.
    package var cores: Int
    /// The kernel's release.
    package var kernel: String
    /// Whether a VM of the kernel's can be made.
    package var hasKVM: Bool
    /// Whether the yardsticks compare nodes by AVX-512.
    package var hasAVX512: Bool

    /// This machine.
    static func here() -> MachineDescription {
        var name = utsname()
        uname(&name)
        let release = withUnsafeBytes(of: &name.release) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        let vm = ys_vm_make()
        ys_close(vm)
        return MachineDescription(
            processor: processorName(), cores: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            kernel: release, hasKVM: vm >= 0, hasAVX512: ys_has_avx512() != 0)
    }

    private static func processorName() -> String {
        let lines = SmallFile.read("/proc/cpuinfo")?.split(separator: "\n") ?? []
        for line in lines where line.hasPrefix("model name") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            return String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        return "unknown processor"
    }

    /// In one line.
    var text: String {
        "\(processor), \(cores) processors, Linux \(kernel), "
            + (hasKVM ? "KVM" : "no KVM") + (hasAVX512 ? ", AVX-512" : "")
    }
}

/// Files of a few kilobytes, such as those of `/proc`.
enum SmallFile {
    /// The file's text; `nil` if it can't be read.
    static func read(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 18)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
