package import Memslots

/// What a log did, as numbers; ``text`` is the same for a person.
package struct ImportReport: Sendable {
    /// What was counted while reading.
    package var counts: TraceCounts
    /// The scenario, whose transactions carry their audits.
    package var scenario: ImportedScenario
    /// VMs that the log made but gave no memory.
    package var idleMachines: Int
    /// Successful calls that don't go with those before them, at most
    /// ``listedSurprises`` of ``surpriseCount``.
    package var surprises: [SurprisingCall]
    /// How many there are.
    package var surpriseCount: Int
    /// The longest pause within a transaction of a thread that never enters `KVM_RUN`, in
    /// milliseconds.
    package var gapMilliseconds: UInt64
    /// Whether the log has times; without them no pause can be told.
    package var hasTimes: Bool
    /// Whether the times are whole seconds.
    package var hasCoarseTimes: Bool

    /// The most surprises that a report keeps.
    package static let listedSurprises = 100

    /// The threads that made slot calls.
    package var threads: Set<ThreadID> { Set(scenario.transactions.map(\.thread)) }

    /// The transactions in which memory was missing.
    package var transactionsWithHoles: Int {
        scenario.transactions.count { !$0.audit.isSeamless }
    }

    /// The transactions that changed nothing.
    package var unchangedTransactions: Int {
        scenario.transactions.count { $0.outcome == .unchanged }
    }

    /// The missing bytes, summed over the transactions.
    package var missing: ByteCount {
        ByteCount(
            rawValue: scenario.transactions.reduce(0) { sum, transaction in
                let (sum, wrapped) = sum.addingReportingOverflow(
                    transaction.audit.missing.rawValue)
                return wrapped ? .max : sum
            })
    }

    /// The longest that any memory was missing; `nil` where nothing was, or there are no times.
    package var longestNanoseconds: UInt64? {
        scenario.transactions.compactMap(\.audit.longestNanoseconds).max()
    }

    /// How long memory was missing, summed over the transactions.
    package var totalNanoseconds: UInt64? {
        let times = scenario.transactions.compactMap(\.audit.totalNanoseconds)
        return times.isEmpty ? nil : times.reduce(0, &+)
    }

    /// The transactions in which memory was missing while another thread was in the guest.
    package var transactionsWithHolesInGuest: Int {
        scenario.transactions.count { !$0.audit.isSeamless && $0.audit.guest == .running }
    }
}
