/// What a submit did.
public struct Receipt: Hashable, Sendable {
    /// The two ways in which a submit can succeed.
    public enum Outcome: String, CaseIterable, Hashable, Sendable {
        /// The VM has the submitted array now.
        case committed
        /// The VM had it already: no call, no hook, no event, no new generation.
        case unchanged
    }

    /// The generation after the submit.
    public var generation: Generation
    /// Whether anything changed.
    public var outcome: Outcome
    /// A Boolean value that indicates whether this is a plan of operations, none of which was applied.
    public var isPlan = false
    /// The difference from the array before.
    public var diff: MemslotDiff
    /// The operations, in the order in which they were applied.
    public var operations: [PlannedOperation]
    /// The changes of memory attributes in the order in which they were made: ascending the guest ranges
    /// that became private, then those that became shared.
    public var attributes: [MemoryAttributeChange] = []
    /// A Boolean value that indicates whether it is proved that no plan has fewer operations.
    public var isOptimal: Bool
    /// The submitted slots in request order, each with its id.
    ///
    /// Empty in a receipt of ``MemslotTable/history(last:)`` unless the table picked an id.
    public var slots: [Memslot]
    /// Whether the table picked an id for any slot.
    package var hasPickedIDs = false
    /// Dirty pages whose host page no logging slot of the new array maps, by their old slot.
    public var unmappedDirtyPages: [DirtyPages] = []
    /// About how many bytes the kernel allocates for the array; `nil` for a backend without a kernel.
    public var kernelMemory: UInt64?
    /// A Boolean value that indicates whether vCPUs were held out of the guest.
    public var quiesced = false
    /// Why vCPUs were held; `nil` if they were not.
    public var holdReason: HoldReason?
    /// A Boolean value that indicates whether every reader of the old array has left, so that its
    /// memory may be unmapped.
    public var retired = true
    /// The names of the readers that have not left the old array.
    public var readers: [String] = []
    /// What each observer was sent, in the order in which they were attached.
    public var observers: [ObserverReport] = []
    /// Sentences about what works but has a cost, such as a slot that no huge page can back.
    public var warnings: [String] = []
    /// Where the time went.
    public var durations = Durations()

    /// Creates a receipt of `operations`, with everything else as it is when all goes well.
    package init(
        generation: Generation, outcome: Outcome, diff: MemslotDiff,
        operations: [PlannedOperation], isOptimal: Bool = true, slots: [Memslot] = []
    ) {
        (self.generation, self.outcome, self.diff) = (generation, outcome, diff)
        (self.operations, self.isOptimal, self.slots) = (operations, isOptimal, slots)
    }

    /// The times of one transaction, measured on the monotonic clock.
    public struct Durations: Hashable, Sendable {
        /// In nanoseconds: the form in which they are measured and sent.
        package var nanoseconds = Nanoseconds()

        package struct Nanoseconds: Hashable, Sendable {
            package var prepare: UInt64 = 0
            package var quiesce: UInt64 = 0
            package var harvest: UInt64 = 0
            package var apply: UInt64 = 0
            package var blackout: UInt64 = 0
            package var total: UInt64 = 0
        }

        /// Creates durations; each is zero by default.
        public init(
            prepare: Duration = .zero, quiesce: Duration = .zero, harvest: Duration = .zero,
            apply: Duration = .zero, blackout: Duration = .zero, total: Duration = .zero
        ) {
            nanoseconds.prepare = prepare.wholeNanoseconds
            nanoseconds.quiesce = quiesce.wholeNanoseconds
            nanoseconds.harvest = harvest.wholeNanoseconds
            nanoseconds.apply = apply.wholeNanoseconds
            nanoseconds.blackout = blackout.wholeNanoseconds
            nanoseconds.total = total.wholeNanoseconds
        }

        /// The time in `prepare` of all hooks.
        public var prepare: Duration { .nanoseconds(nanoseconds.prepare) }
        /// The time from closing the gates until nobody was inside.
        public var quiesce: Duration { .nanoseconds(nanoseconds.quiesce) }
        /// The time spent reading dirty logs that end.
        public var harvest: Duration { .nanoseconds(nanoseconds.harvest) }
        /// The time in the backend's operations.
        public var apply: Duration { .nanoseconds(nanoseconds.apply) }
        /// The time from asking vCPUs to leave the guest until they could enter again; zero if
        /// they were not asked.
        public var blackout: Duration { .nanoseconds(nanoseconds.blackout) }
        /// The time of the whole submit.
        public var total: Duration { .nanoseconds(nanoseconds.total) }
    }
}

extension Duration {
    fileprivate static func nanoseconds(_ count: UInt64) -> Duration {
        .nanoseconds(Int64(clamping: count))
    }
}

extension Receipt: CustomStringConvertible {
    /// What the submit did, in one line.
    public var description: String {
        guard outcome == .committed else {
            return "generation \(generation), unchanged: the VM has this array already"
        }
        let counts = [
            (diff.added.count, "added"), (diff.removed.count, "removed"),
            (diff.moved.count, "moved"), (diff.reflagged.count, "reflagged"),
        ]
        let changes = counts.lazy.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        let calls = counted(operations.count, "operation")
        var parts = diff.isEmpty ? [] : ["\(changes.joined(separator: ", ")) by \(calls)"]
        if !attributes.isEmpty { parts.append(counted(attributes.count, "attribute change")) }
        if !isOptimal { parts.append("perhaps not the fewest") }
        let time = isPlan ? "" : " for \(durations.nanoseconds.blackout / 1_000) µs"
        let reason = holdReason.map { " (\($0.rawValue))" } ?? ""
        parts.append(quiesced ? "vCPUs held out\(time)\(reason)" : "no vCPU held out")
        if !retired { parts.append("still read by \(readers.joined(separator: ", "))") }
        let dirty = unmappedDirtyPages.lazy.flatMap(\.runs).reduce(0) { $0 + $1.count }
        if dirty > 0 { parts.append("\(counted(dirty, "dirty page")) no longer mapped") }
        if !warnings.isEmpty { parts.append(counted(warnings.count, "warning")) }
        let verb = isPlan ? "planned" : "committed"
        return "generation \(generation), \(verb): \(parts.joined(separator: "; "))"
    }
}

/// `1 slot`, `2 slots`.
package func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
}
