internal import ArgumentParser
import Dispatch
package import MemslotKVM
package import MemslotTestKit
package import MemslotVhostUser
package import Memslots

/// Changes slots under running vCPUs and counts what they observe. Each vCPU accesses all pages of
/// a region, round after round. Each transaction replaces the slots by others with the same host
/// pages. After some transactions all vCPUs are paused, and the dirty logs are compared with the
/// pages that were certainly written.
package struct Torture: Sendable {
    private let options: TortureOptions

    /// - Throws: the invalid option.
    package init(_ options: TortureOptions) throws(TortureError) {
        let (isKVM, deletes) = (options.backend == .kvm, options.change == .delete)
        let isPlain = isKVM && options.observer == .none && !options.codeInRegion && !deletes
        let hasTwo = options.spaces == 2 && options.change != .romd && options.vcpus <= 8
        let rules = [
            // As many as the guest programs support.
            (1...64 ~= options.vcpus, "vcpus must be 1 to 64"),
            (options.transactions >= 0, "transactions must not be negative"),
            (!options.codeInRegion || isKVM, "a simulated VM has no guest code"),
            (!options.keepsOtherMappings || isKVM, "a simulated VM has no mappings to keep"),
            (
                !deletes || isKVM && options.vcpus > 2,
                "--change delete needs a KVM VM and --vcpus 3 at least: two whose accesses are "
                    + "compared, and one in real mode"
            ),
            (
                options.observer == .none || isKVM && !deletes,
                "--observer needs a KVM VM, whose memory is real, and another change than delete"
            ), (!deletes || !options.continuity, "--continuity needs another change than delete"),
            (
                options.memory == .small || isPlain && options.spaces == 1,
                "--memory goes with a KVM VM, --change and --dirty-log alone"
            ),
            (
                options.spaces == 1 || isPlain && hasTwo,
                "--spaces 2 needs a KVM VM whose guest writes, and 8 vCPUs at most"
            ),
        ]
        for (isMet, rule) in rules where !isMet { throw .invalidOption(rule) }
        self.options = options
    }

    /// Runs to the end. `progress` gets the number of transactions. Findings are not errors.
    package func run(
        progress: (_ transactions: Int) -> Void = { _ in }
    ) throws(TortureError) -> TortureReport {
        // The vCPUs always enter through this gate. In naive mode it never closes.
        let gate = VCPUGate()
        let machine: any TortureMachine
        switch options.backend {
        case .simulated: machine = try SimulatedMachine(options, gate: gate)
        case .kvm:
            #if arch(x86_64)
                machine = try KVMMachine(options, gate: gate)
            #else
                throw .invalidOption("there is no guest program for this processor; use simulated")
            #endif
        }
        let start = DispatchTime.now().uptimeNanoseconds
        var run = try TortureRun(options, machine, hold: options.mode == .atomic ? gate : NoHold())
        var report = try run.execute(progress)
        report.nanoseconds = DispatchTime.now().uptimeNanoseconds - start
        return report
    }
}

/// The options of a torture, as the command line names them.
package struct TortureOptions: ParsableArguments, Sendable {
    @Option(help: "kvm or simulated.") package var backend = LabBackend.kvm

    @Option(help: "real or long: 16-bit real mode, or 64-bit user mode.")
    package var guest = GuestKind.real

    @Option(help: ArgumentHelp("1 to 64.", valueName: "n")) package var vcpus = 2

    @Option(help: ArgumentHelp("The number of transactions.", valueName: "n"))
    package var transactions = 3_000

    @Option(help: "atomic or naive.") package var mode = TortureMode.atomic

    @Flag(help: "Hold for continuity only, with slots beside the region that need no hold.")
    package var continuity = false

    @Option(help: "split, merge, resize, move, swap, remap, romd, mix or delete.")
    package var change = TortureChange.mix

    /// Only for a KVM VM.
    @Flag(help: "Place the guest's code in the region too.") package var codeInRegion = false

    /// Only for a KVM VM.
    @Flag(help: "A deletion drops only its own mappings (Linux 6.12).")
    package var keepsOtherMappings = false

    /// A simulated VM has no rings.
    @Option(help: "The kind of dirty log: cleared, manual, initially-set or ring.")
    package var dirtyLog = TortureDirtyLog.cleared

    @Option(help: "1, or 2: each vCPU enters and leaves SMM, which has slots of its own.")
    package var spaces = 1

    /// Only for a KVM VM.
    @Option(help: "small, hugetlb or thp: in huge pages, which KVM splits and merges.")
    package var memory = GuestMemoryKind.small

    @Option(help: "none or vhost-user: a disk of qemu-storage-daemon, with requests in flight.")
    package var observer = TortureObserver.none

    @Option(help: ArgumentHelp("The seed of the random choices.", valueName: "s"))
    package var seed = UInt64(1)

    package init() {}
}

package enum TortureDirtyLog: String, CaseIterable, ExpressibleByArgument, Sendable {
    case cleared, manual
    case initiallySet = "initially-set"
    case ring

    var mode: DirtyLogMode {
        switch self {
        case .cleared: .clearedByReading
        case .manual: .manual
        case .initiallySet: .manualInitiallySet
        case .ring: .ring(bytes: 65_536)
        }
    }
}

extension GuestKind: ExpressibleByArgument {}
extension GuestMemoryKind: ExpressibleByArgument {}

package enum LabBackend: String, Sendable, CaseIterable, ExpressibleByArgument {
    /// A KVM VM, whose vCPUs run a guest.
    case kvm
    /// A simulated VM, with threads as vCPUs.
    case simulated
}

package enum TortureObserver: String, Sendable, CaseIterable, ExpressibleByArgument {
    case none
    case vhostUser = "vhost-user"
}

/// Whether vCPUs are held while slots change.
package enum TortureMode: String, Sendable, CaseIterable, ExpressibleByArgument {
    case atomic
    /// The same operations without holding vCPUs: the control.
    case naive
}

/// The changes of the transactions. Every array maps the same host pages to the guest.
package enum TortureChange: String, Sendable, CaseIterable, ExpressibleByArgument {
    /// One slot, alternating with one to four slots.
    case split
    /// Four slots, alternating with neighbours merged.
    case merge
    /// Two slots with another boundary each time.
    case resize
    /// The slot moves, and another one of the same host pages replaces it.
    case move
    /// Two slots of the same host pages swap addresses.
    case swap
    /// The same slots with another mapping of the same memory.
    case remap
    /// Slots change between read-only and writable, under a guest that reads.
    case romd
    /// All but ``romd``, in random order.
    case mix
    /// One slot is deleted beside witnesses, which compare what they found, and created again.
    case delete
}

package enum TortureError: Error, Hashable, Sendable {
    case invalidOption(String)
    /// KVM is missing or lacks a feature.
    case kvm(KVMError)
    /// Memory, a signal or a thread is not available.
    case system(Errno)
    /// The table refused a valid array.
    case submit(SubmitError)
    case dirtyLog(DirtyLogError)
    /// Something that an option needs is not here.
    case unavailable(String)
    /// A program beside it does not work.
    case program(String)
    case backEnd(VhostUserError)
    /// A vCPU made no round in ten seconds, or did not pause.
    case stuck(vcpu: Int)

    package var message: String {
        switch self {
        case .invalidOption(let what), .unavailable(let what), .program(let what): what
        case .kvm(let error): error.description
        case .system(let errno): "memory, a signal or a thread is not available: \(errno)"
        case .submit(let error): "a transaction failed: \(error.message)"
        case .backEnd(let error): "the back end failed: \(error.message)"
        case .dirtyLog(let error): "a dirty log could not be read: \(error)"
        case .stuck(let vcpu): "vCPU \(vcpu) makes no progress"
        }
    }
}

package struct TortureReport: Sendable {
    /// What a torture counts, by the names in JSON.
    package enum Count: String, CaseIterable, Sendable {
        case transactions
        /// The transactions that the guest observed.
        case transactionsHit
        case slotCalls
        /// With `--continuity`: the creates before holds and the deletes after them.
        case outsideHolds
        /// The rounds of all vCPUs.
        case rounds
        /// MMIO exits at addresses with memory in every array. On a simulated VM: failed accesses.
        case spuriousExits
        /// Runs that KVM could not continue. On a simulated VM: reads of the table that returned
        /// neither the old array nor the new one.
        case emulationFailures
        /// Increments missing in guest memory; for a guest that reads, the missing part of its sum.
        case lostIncrements
        /// Pages that the guest has certainly written and that no log and no receipt reported.
        case lostDirtyPages
        /// Pages that had to be reported.
        case dirtyPages
        /// With two address spaces: the rounds of all vCPUs in system management mode.
        case managementRounds
        /// Tags below the one that the vCPU had read before, in either address space: half a change.
        case staleTags
        /// With huge pages: the KiB of the region that the host had in them at the beginning, the
        /// most of KVM's mappings of 2 MiB, and how often there were fewer than before.
        case hugeKiB, hugeMappings, hugeFalls
        /// Deletions beside the guest, with witnesses.
        case witnessedDeletions
        /// Of those: an access found no memory, and one that began later, on any vCPU, found it. Both
        /// by the processor's own page tables.
        case directViolations
        /// The same, where one of the two is by a vCPU in real mode, which KVM emulates on some hosts.
        case indirectViolations
        /// With `--observer vhost-user`.
        case diskRequests, ringStops
        /// Blocks that were read or are in the file with other contents than were written.
        case wrongBlocks
        case lostRequests, lostBackEnds
    }

    package static let faults: [Count] = [
        .spuriousExits, .emulationFailures, .lostIncrements, .lostDirtyPages, .staleTags,
        .directViolations, .wrongBlocks, .lostRequests, .lostBackEnds,
    ]

    package internal(set) var counts = Tally<Count>()
    /// Whether KVM has ended the VM before all transactions.
    package internal(set) var hasEnded = false
    package internal(set) var blackout = TimeHistogram()
    package internal(set) var nanoseconds: UInt64 = 0
    /// The last of KVM's mappings of 2 MiB.
    var lastMappings: UInt64?

    package var isClean: Bool { Self.faults.allSatisfy { counts[$0] == 0 } }
}
