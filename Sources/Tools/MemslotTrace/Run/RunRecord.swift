import CRunRecord
package import MemslotProtocol
import Memslots

package struct RunCommit: Hashable, Sendable {
    /// The reason of the commit, `CRUN_BY_RUN` and so on in the order of their numbers. The cases'
    /// names are on the wire.
    package enum Reason: UInt32, Hashable, Sendable, CaseIterable {
        case run = 1
        case call, unmapping, device, quiet, close, time, budget, pass, table

        package var text: String {
            switch self {
            case .run: "KVM_RUN"
            case .call: "another call"
            case .device: "a device"
            case .table: "a vhost-user table"
            default: "\(self)"
            }
        }
    }

    package var number, machine: Int
    package var thread: ThreadID
    package var reason: Reason?
    package var heldSince: TraceTime
    package var heldNanoseconds: UInt64
    /// The duration of the kernel calls, including planning, in nanoseconds.
    package var appliedNanoseconds: UInt64
    /// The number of the VMM's calls that changed something.
    package var asked: Int
    package var made: Int
    /// Whether the hold has withheld an entry into the guest.
    package var hasWithheldEntry: Bool
    /// The number of vCPUs that slept in the kernel and were not waited for.
    package var asleep: Int
    /// Parts of the hold: signals to all vCPUs; until none could be in the guest; the end.
    package var kickNanoseconds: UInt64
    package var waitNanoseconds, releaseNanoseconds: UInt64

    /// The rest of the hold, in which the VMM went on to its next call.
    package var vmmNanoseconds: UInt64 {
        [kickNanoseconds, waitNanoseconds, appliedNanoseconds, releaseNanoseconds]
            .reduce(heldNanoseconds) { $0 - min($0, $1) }
    }

    var hold: Range<UInt64> {
        heldSince.rawValue..<heldSince.rawValue.addingSaturated(heldNanoseconds)
    }
}

enum RunRecord {
    case machine(RunMachine)
    case asked(RecordedCall)
    case made(RecordedCall)
    case commit(RunCommit)
    /// A thread that had made slot calls entered `KVM_RUN`.
    case entered(thread: ThreadID)
    case gone(machine: Int)
    case fault(RunFault)
    case mapping(UserMapping, machine: Int)
    case changed(MemoryChange)
    case table(TableMessage)
    /// The array that a VM has now, whose slots follow.
    case array(RunArray)
    case slot(RecordedCall)

    /// `nil` for a record that was never finished.
    init?(_ words: crun_record, number: Int) {
        switch words.kind {
        case CRUN_VM:
            var needs = SimulatedParameters()
            needs.maxSlots = max(needs.maxSlots, words.asked)
            needs.addressSpaces = max(needs.addressSpaces, words.made)
            if words.applied != 0 { needs.flags.insert(.guestMemfd) }
            self = .machine(RunMachine(words, needs))
        case CRUN_ARRAY:
            self = .array(
                RunArray(
                    machine: RunMachine(words, SimulatedParameters()),
                    start: RecordedCall(words, number: number), missing: Int(words.asked)))
        case CRUN_SLOT: self = .slot(RecordedCall(words, number: number))
        case CRUN_ASKED: self = .asked(RecordedCall(words, number: number))
        case CRUN_MADE: self = .made(RecordedCall(words, number: number))
        case CRUN_COMMIT: self = .commit(RunCommit(words, number: number))
        case CRUN_ENTERED: self = .entered(thread: ThreadID(words))
        case CRUN_GONE: self = .gone(machine: Int(words.vm))
        case CRUN_FAULT:
            let address = words.region.userspace_addr
            self = .fault(
                RunFault(
                    line: number, thread: ThreadID(words), time: TraceTime(rawValue: words.start),
                    machine: Int(words.vm), address: address == .max ? nil : address))
        case CRUN_MAPPING: self = .mapping(UserMapping(words.region), machine: Int(words.vm))
        case CRUN_CHANGED:
            let left = UserMapping(words.region)
            self = .changed(
                MemoryChange(
                    line: number, call: left.access == CRUN_UNMAPPED ? "munmap" : "mprotect",
                    left: left, machine: Int(words.vm)))
        case CRUN_TABLE: self = .table(TableMessage(words, number: number))
        default: return nil
        }
    }
}

/// A VM's array, from which the VM is known again after records were lost.
struct RunArray: Sendable {
    var machine: RunMachine
    /// The record before its slots, as a call.
    var start: RecordedCall
    var missing: Int
    var slots: [RawRegion] = []

    mutating func append(_ slot: RecordedCall) {
        if let region = slot.region { slots.append(region) }
        missing -= 1
    }
}

package struct RunMachine: Hashable, Sendable {
    package var number: Int
    package var thread: ThreadID
    package var process: Int32
    package var needs: SimulatedParameters

    init(_ words: crun_record, _ needs: SimulatedParameters) {
        number = Int(words.vm)
        thread = ThreadID(words)
        process = words.process
        self.needs = needs
    }
}

extension UserMapping {
    fileprivate init(_ region: crun_region) {
        let start = region.userspace_addr
        self.init(range: start..<start.addingSaturated(region.memory_size), access: region.flags)
    }
}

extension ThreadID { init(_ words: crun_record) { rawValue = UInt32(bitPattern: words.thread) } }

extension RecordedCall {
    /// A call of a run, whose times are known.
    init(
        number: Int, machine: Int, thread: ThreadID, at time: UInt64, nanoseconds: UInt64,
        region: RawRegion, errno: String?, runsBefore: Int, entries: UInt64, inside: UInt32
    ) {
        let end = TraceTime(rawValue: time.addingSaturated(nanoseconds))
        let presence = GuestPresence(entries: Int(clamping: entries), inside: Int(inside))
        self.init(
            line: number, thread: thread, time: end, machine: machine, region: region,
            errno: errno, begin: .exactly(TraceTime(rawValue: time)), end: .exactly(end),
            runsBefore: runsBefore, atBegin: presence, atEnd: presence)
    }

    init(_ words: crun_record, number: Int) {
        let own = words.region
        let hasFile = own.form == 2 && own.guest_memfd >= 0
        self.init(
            number: number, machine: Int(words.vm), thread: ThreadID(words), at: words.start,
            nanoseconds: words.duration,
            region: RawRegion(
                slot: own.slot, flags: own.flags, guestPhysicalAddress: own.guest_phys_addr,
                memorySize: own.memory_size, userspaceAddress: own.userspace_addr,
                guestMemfd: hasFile ? .file(index: UInt32(own.guest_memfd)) : nil,
                guestMemfdOffset: own.guest_memfd_offset),
            errno: words.result < 0 ? Errno(rawValue: 0 &- words.result).name : nil,
            runsBefore: Int(clamping: words.runs), entries: words.entries, inside: words.inside)
    }
}

extension RunCommit {
    init(_ words: crun_record, number: Int) {
        let hold = words.hold
        self.init(
            number: number, machine: Int(words.vm), thread: ThreadID(words),
            reason: Reason(rawValue: hold.why), heldSince: TraceTime(words.held_since),
            heldNanoseconds: words.duration, appliedNanoseconds: words.applied,
            asked: Int(words.asked), made: Int(words.made),
            hasWithheldEntry: hold.withheld_none == 0, asleep: Int(hold.asleep),
            kickNanoseconds: hold.kick, waitNanoseconds: hold.wait,
            releaseNanoseconds: hold.release)
    }
}
