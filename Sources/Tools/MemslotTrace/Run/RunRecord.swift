import CRunRecord
package import Memslots

/// A slot call of a VMM that ran under `memslotctl run`.
package struct RunCall: Hashable, Sendable {
    /// Its place among all records, from 1.
    package var number: Int
    /// The VM, numbered from 0 over all processes of the run.
    package var machine: Int
    /// Who made it.
    package var thread: ThreadID
    /// When it began, on the monotonic clock.
    package var time: TraceTime
    /// How long it took, in nanoseconds.
    package var nanoseconds: UInt64
    /// The words.
    package var region: RawRegion
    /// The descriptor of a REGION2 call; −1 of the older one.
    package var guestMemfd: Int32
    /// Why it failed; `nil` where it succeeded.
    package var errno: Errno?
    /// How often the thread had entered `KVM_RUN`.
    package var runsBefore: UInt64
    /// How often all threads of the VM had, together.
    package var entries: UInt64
    /// How many of the VM's vCPUs were inside when the call began.
    package var inside: UInt32
}

/// The commit of a transaction, in a run with `--atomic`.
package struct RunCommit: Hashable, Sendable {
    /// Why the calls before it were committed.
    package enum Reason: UInt32, Hashable, Sendable, CaseIterable {
        /// The thread went to run a vCPU.
        case run = 1
        /// A call that looks at guest memory.
        case call = 2
        /// User memory was about to be taken away.
        case unmapping = 3
        /// A call of VFIO, iommufd or vhost.
        case device = 4
        /// The thread had been quiet.
        case quiet = 5
        /// A descriptor was about to be closed.
        case close = 6
        /// The thread went on asking for too long, and nothing was missing just then.
        case time = 7

        /// A word for a person.
        package var word: String {
            switch self {
            case .run: "KVM_RUN"
            case .call: "another call"
            case .unmapping: "unmapping"
            case .device: "a device"
            case .quiet: "quiet"
            case .close: "close"
            case .time: "time"
            }
        }
    }

    /// Its place among all records, from 1.
    package var number: Int
    /// The VM.
    package var machine: Int
    /// Who committed.
    package var thread: ThreadID
    /// Why; `nil` for a word of another version.
    package var reason: Reason?
    /// When vCPUs were first held out for it, on the monotonic clock.
    package var heldSince: TraceTime
    /// How long they were, in nanoseconds.
    package var heldNanoseconds: UInt64
    /// How long the kernel calls took, planning included, in nanoseconds.
    package var appliedNanoseconds: UInt64
    /// How many calls the VMM had made that changed something.
    package var asked: Int
    /// How many were made on the kernel.
    package var made: Int
}

/// A record, by its kind.
enum RunRecord {
    case machine(number: Int, thread: ThreadID, process: Int32)
    case asked(RunCall)
    case made(RunCall)
    case commit(RunCommit)
    /// A thread that had made slot calls entered `KVM_RUN`.
    case entered(thread: ThreadID)
    /// The VM's last descriptor was closed.
    case gone(machine: Int)

    /// `nil` for a record that was never finished.
    init?(_ words: crun_record, number: Int) {
        switch words.kind {
        case CRUN_VM:
            self = .machine(
                number: Int(words.vm), thread: ThreadID(rawValue: UInt32(bitPattern: words.thread)),
                process: words.process)
        case CRUN_ASKED: self = .asked(RunCall(words, number: number))
        case CRUN_MADE: self = .made(RunCall(words, number: number))
        case CRUN_COMMIT: self = .commit(RunCommit(words, number: number))
        case CRUN_ENTERED:
            self = .entered(thread: ThreadID(rawValue: UInt32(bitPattern: words.thread)))
        case CRUN_GONE: self = .gone(machine: Int(words.vm))
        default: return nil
        }
    }
}

extension RunCall {
    init(_ words: crun_record, number: Int) {
        self.number = number
        machine = Int(words.vm)
        thread = ThreadID(rawValue: UInt32(bitPattern: words.thread))
        time = TraceTime(rawValue: words.start)
        nanoseconds = words.duration
        region = RawRegion(
            slot: words.slot, flags: words.flags, guestPhysicalAddress: words.guest_phys_addr,
            memorySize: words.memory_size, userspaceAddress: words.userspace_addr,
            guestMemfdOffset: words.guest_memfd_offset)
        guestMemfd = words.form == 2 ? words.guest_memfd : -1
        errno = words.result < 0 ? Errno(rawValue: 0 &- words.result) : nil
        runsBefore = words.runs
        entries = words.entries
        inside = words.inside
    }

    /// When it ended.
    package var end: TraceTime { TraceTime(rawValue: time.rawValue &+ nanoseconds) }
}

extension RunCommit {
    init(_ words: crun_record, number: Int) {
        self.number = number
        machine = Int(words.vm)
        thread = ThreadID(rawValue: UInt32(bitPattern: words.thread))
        reason = Reason(rawValue: words.form)
        heldSince = TraceTime(rawValue: words.held_since)
        heldNanoseconds = words.duration
        appliedNanoseconds = words.applied
        asked = Int(words.asked)
        made = Int(words.made)
    }
}
