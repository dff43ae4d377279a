import Dispatch
import Glibc
package import MemslotKVM
package import MemslotTestKit
package import Memslots

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

/// What is tortured, and how.
package struct TortureOptions: Hashable, Sendable {
    /// Whose slots change.
    package var backend: TortureBackend = .kvm
    /// What runs on a real VM.
    package var guest: GuestKind = .real
    /// How many vCPUs use the memory. Range: ``vcpusRange``.
    package var vcpus: Int = 2
    /// How many transactions are made.
    package var transactions: Int = 3_000
    /// Whether vCPUs are held out.
    package var mode: TortureMode = .atomic
    /// What the transactions change.
    package var change: TortureChange = .mix
    /// Whether the guest's code stands in the region too. On a real VM.
    package var codeInRegion = false
    /// How the dirty log is kept. A simulated VM has no rings.
    package var dirtyLog: DirtyLogMode = .clearedByReading
    /// What the random choices begin with.
    package var seed: UInt64 = 1

    /// 1 … 64: as many as the guests have numbers for.
    package static let vcpusRange: ClosedRange<Int> = 1...64

    /// The defaults.
    package init() {}
}

/// Whose slots change.
package enum TortureBackend: String, Hashable, Sendable, CaseIterable {
    /// A real VM's, with vCPUs that run a guest.
    case kvm
    /// A simulated VM's, with threads for vCPUs.
    case simulated
}

/// Whether vCPUs are held out while slots change.
package enum TortureMode: String, Hashable, Sendable, CaseIterable {
    /// They are, by the gate.
    case atomic
    /// They are not: the same calls with nobody held out. The control.
    case naive
}

/// What the transactions change. The guest's addresses show the same host pages in every array.
package enum TortureChange: String, Hashable, Sendable, CaseIterable {
    /// The region as one slot, and as two to four.
    case split
    /// The region as four slots, and with neighbours made one.
    case merge
    /// Two slots whose boundary is somewhere else each time.
    case resize
    /// The slot goes elsewhere, and another of the same host pages takes its place.
    case move
    /// Two slots of the same host pages change places.
    case swap
    /// The same slots by another mapping of the same memory.
    case remap
    /// Slots become read-only and writable again, under a guest that reads.
    case romd
    /// Any of them but ``romd``, one after the other.
    case mix
}

/// Why a torture could not be carried through.
package enum TortureError: Error, Hashable, Sendable {
    /// An option is out of its range.
    case invalidOption(String)
    /// KVM can't be used, or lacks something.
    case kvm(KVMError)
    /// Memory, a signal or a thread could not be had.
    case system(Errno)
    /// A simulated VM has no dirty rings.
    case noSimulatedRing
    /// The table would not take an array that is valid.
    case submit(SubmitError)
    /// A dirty log could not be read.
    case dirtyLog(DirtyLogError)
    /// A vCPU made no round in ten seconds, or didn't stop.
    case stuck(vcpu: Int)

    /// A sentence that says what is wrong.
    package var message: String {
        switch self {
        case .invalidOption(let what): what
        case .kvm(let error): error.description
        case .system(let errno): "memory, a signal or a thread could not be had: \(errno)"
        case .noSimulatedRing: "a simulated VM has no dirty rings"
        case .submit(let error): "a transaction failed: \(error.message)"
        case .dirtyLog(let error): "a dirty log could not be read: \(error)"
        case .stuck(let vcpu): "vCPU \(vcpu) makes no progress"
        }
    }
}
