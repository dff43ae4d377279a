import Dispatch
import Glibc
import MemslotKVM
import Memslots

/// Changes the slots under running vCPUs, and counts what they see of it.
///
/// Each vCPU goes round a region, again and again. Each transaction makes other slots of the same
/// host pages, once every vCPU has made a round since the last. Now and then all are stopped at
/// the end of one, and the dirty logs are compared with what was certainly written.
package struct Torture: Sendable {
    private let options: TortureOptions

    /// - Throws: the option that is out of its range.
    package init(_ options: TortureOptions) throws(TortureError) {
        guard TortureOptions.vcpusRange.contains(options.vcpus) else {
            throw .invalidOption("vcpus must be 1 to \(TortureOptions.vcpusRange.upperBound)")
        }
        guard options.transactions >= 0 else {
            throw .invalidOption("transactions must not be negative")
        }
        guard !options.codeInRegion || options.backend == .kvm else {
            throw .invalidOption("a simulated VM has no code to put in the region")
        }
        self.options = options
    }

    /// Runs it to its end; blocks.
    ///
    /// - Parameter progress: told how many transactions are done, now and then.
    /// - Throws: what kept it from its end. What was found is not an error.
    package func run(
        progress: (_ transactions: Int) -> Void = { _ in }
    ) throws(TortureError) -> TortureReport {
        // The vCPUs enter by this gate always; where the table holds nobody out, it never closes.
        let gate = VCPUGate()
        let machine = try machine(gate)
        let vcpus: any VCPUHold = options.mode == .atomic ? gate : NoHold()
        var run = try TortureRun(options, machine, vcpus: vcpus)
        let start = DispatchTime.now().uptimeNanoseconds
        var report = try run.carryThrough(progress)
        report.nanoseconds = DispatchTime.now().uptimeNanoseconds - start
        return report
    }

    private func machine(_ gate: VCPUGate) throws(TortureError) -> any TortureMachine {
        switch options.backend {
        case .simulated: return try SimulatedMachine(options, gate: gate)
        case .kvm:
            #if arch(x86_64)
                return try KVMMachine(options, gate: gate)
            #else
                throw .invalidOption("there is no guest for this processor; use simulated")
            #endif
        }
    }
}
