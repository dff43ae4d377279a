import CRunRecord
import MemslotProtocol
import MemslotScenario
import Memslots

extension JSONWriter {
    mutating func members(of commit: RunCommit) {
        member("asked", commit.asked)
        member("made", commit.made)
        member("because", commit.reason.map { "\($0)" } ?? "unknown")
        member("heldNanoseconds", commit.heldNanoseconds)
        member("appliedNanoseconds", commit.appliedNanoseconds)
        member("kickNanoseconds", commit.kickNanoseconds)
        member("waitNanoseconds", commit.waitNanoseconds)
        member("releaseNanoseconds", commit.releaseNanoseconds)
        member("asleep", commit.asleep)
        member("withheldEntry", commit.hasWithheldEntry)
    }

    /// Writes the totals of a run, which its other records can't give.
    mutating func totals(_ recording: RunRecording) {
        for (name, path) in RunRecording.totals { member(name, recording.header[keyPath: path]) }
        member("untracked", Int(recording.header.untracked))
        member("stopped", recording.wasStopped)
    }
}

extension RunRecording {
    /// How the source of a record of `--atomic` begins.
    package static let atomicSource = "recorded by memslotctl run --atomic:"

    fileprivate static var totals: [(StaticString, WritableKeyPath<crun_header, UInt64>)] {
        [
            ("succeeded", \.succeeded), ("refused", \.refused), ("made", \.made),
            ("commits", \.commits), ("longestHold", \.longest_hold), ("pastBudget", \.past),
            ("passed", \.passed), ("unapplied", \.deferred), ("kicks", \.kicks),
            ("shownKicks", \.shown),
        ]
    }

    mutating func readTotals(_ value: JSONValue) {
        header.magic = crun_magic()
        for (name, path) in Self.totals { header[keyPath: path] = value["\(name)"]?.uint64 ?? 0 }
        header.untracked = UInt32(clamping: value["untracked"]?.uint64 ?? 0)
        header.stopped = value["stopped"]?.bool == true ? 1 : 0
    }
}

extension RunCommit {
    /// A commit of a record; `nil` if it has no duration.
    init?(recorded value: JSONValue, number: Int, machine: Int, thread: ThreadID) {
        guard let held = value["heldNanoseconds"]?.uint64 else { return nil }
        // As in the memory of a run, so that sums can't overflow.
        func count(_ name: String) -> Int { Int(UInt32(clamping: value[name]?.uint64 ?? 0)) }
        func nanoseconds(_ name: String) -> UInt64 { value["\(name)Nanoseconds"]?.uint64 ?? 0 }
        let because = value["because"]?.string
        self.init(
            number: number, machine: machine, thread: thread,
            reason: Reason.allCases.first { "\($0)" == because },
            heldSince: TraceTime(rawValue: value["at"]?.uint64 ?? 0), heldNanoseconds: held,
            appliedNanoseconds: nanoseconds("applied"), asked: count("asked"), made: count("made"),
            hasWithheldEntry: value["withheldEntry"]?.bool ?? true, asleep: count("asleep"),
            kickNanoseconds: nanoseconds("kick"), waitNanoseconds: nanoseconds("wait"),
            releaseNanoseconds: nanoseconds("release"))
    }
}

extension RecordedCall {
    /// A call of a record; `nil` if a word is missing.
    init?(recorded call: JSONValue, number: Int, machine: Int, thread: ThreadID, runsBefore: Int) {
        guard let region = RawRegion(recorded: call) else { return nil }
        let inside = UInt32(clamping: call["inside"]?.uint64 ?? 0)
        self.init(
            number: number, machine: machine, thread: thread, at: call["at"]?.uint64 ?? 0,
            nanoseconds: call["nanoseconds"]?.uint64 ?? 0, region: region,
            errno: call["errno"]?.string, runsBefore: runsBefore,
            // A record without entries shows that a vCPU was inside, not that none entered.
            entries: call["entries"]?.uint64 ?? (inside > 0 ? UInt64(clamping: number) : 0),
            inside: inside)
    }
}

extension RawRegion {
    init?(recorded call: JSONValue) {
        guard let slot = call.number("slot").flatMap({ UInt32(exactly: $0) }),
            let flags = call.number("flags").flatMap({ UInt32(exactly: $0) }),
            let address = call.number("guest_phys_addr"), let size = call.number("memory_size"),
            let user = call.number("userspace_addr")
        else { return nil }
        self.init(
            slot: slot, flags: flags, guestPhysicalAddress: address, memorySize: size,
            userspaceAddress: user,
            guestMemfd: call.number("guest_memfd").map {
                .file(index: UInt32(truncatingIfNeeded: $0))
            }, guestMemfdOffset: call.number("guest_memfd_offset") ?? 0)
    }
}

extension JSONValue {
    /// A member that is a number, or one in a string; `nil` without one.
    func number(_ name: String) -> UInt64? {
        if case .success(let value)? = self[name]?.quantity { value } else { nil }
    }
}
