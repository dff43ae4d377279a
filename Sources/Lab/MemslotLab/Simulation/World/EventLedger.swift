import Memslots

/// The events of the table, as its first observer receives them.
struct EventLedger {
    struct Entry: Equatable, CustomStringConvertible {
        enum Kind: String {
            case committed
            case rolledBack = "rolled back at"
            case failed = "failed at"
            case recovered = "recovered at"
            case retired = "retired before"
        }

        let kind: Kind
        let generation: Generation

        var description: String { "\(kind.rawValue) \(generation)" }

        /// The method of the notification to subscribers.
        var method: String { "memslots.\(kind == .recovered ? Kind.rolledBack : kind)" }
    }

    private(set) var entries: [Entry] = []
    /// The actor whose thread delivered each event.
    private var owners: [String] = []
    /// The event whose owner has not received the outcome yet.
    private var open: Int?

    var count: Int { entries.count }

    mutating func append(_ entry: Entry, by owner: String) {
        entries.append(entry)
        owners.append(owner)
        guard entry.kind != .retired else { return }
        if open != nil { areAllMatched = false }
        open = entries.count - 1
    }

    /// Returns whether the open event is that of `owner` and reports the outcome that it received.
    mutating func match(_ kind: Entry.Kind, _ generation: Generation, to owner: String) -> Bool {
        defer { open = nil }
        guard let open else { return false }
        return owners[open] == owner && entries[open] == Entry(kind: kind, generation: generation)
    }

    /// Whether the open event is a failure of `owner`.
    func hasNewFailure(of owner: String) -> Bool {
        open.map { entries[$0].kind == .failed && owners[$0] == owner } ?? false
    }

    /// Whether each outcome was received before the next event.
    private var areAllMatched = true

    /// Whether every event has its outcome.
    var isSettled: Bool { areAllMatched && open == nil }
}

extension EventLedger.Entry {
    init(_ event: TableEvent) {
        switch event {
        case .committed(let receipt, _, _):
            self.init(kind: .committed, generation: receipt.generation)
        case .rolledBack(_, let at): self.init(kind: .rolledBack, generation: at)
        case .retired(let at): self.init(kind: .retired, generation: at)
        case .failed(_, let at): self.init(kind: .failed, generation: at)
        case .recovered(let at): self.init(kind: .recovered, generation: at)
        }
    }
}

extension World {
    /// Checks that no reader but `readers` uses an array older than `generation`.
    private func checkRetired(before generation: Generation, but readers: [String] = []) {
        for (name, stay) in stays where stay < generation && !readers.contains(name) {
            report(
                .retiredIsLeft, "\(name) uses \(stay), though all before \(generation) are retired")
        }
    }

    /// Records an event before other observers receive it, and checks it.
    func receive(_ event: TableEvent) {
        var event = event
        if case .committed(let receipt, let previous, let array) = event {
            event = .committed(wiring.receipt(receipt), previous: previous, array: array)
        }
        let entry = EventLedger.Entry(event)
        record("\(entry)")
        events.append(entry, by: scheduler.running)
        let isDue =
            entry.kind == .committed || entry.generation == generation
            || entry.kind == .retired && entry.generation < generation
        check(isDue, .generationsDense, "\(entry), at \(generation)")
        switch event {
        case .committed(let receipt, let previous, let array):
            check(
                previous == generation && receipt.generation == generation.next,
                .generationsDense, "\(previous) to \(receipt.generation), after \(generation)")
            generation = receipt.generation
            arrays[generation] = (slots: array.slots, privateRanges: transaction.privateRanges)
            check(
                receipt.attributes == transaction.attributes, .oneAnswer,
                "the receipt lists \(receipt.attributes), not \(transaction.attributes)")
            if let fault = dirty.committed(receipt, active) { report(.dirtyBitsKept, fault) }
            checkInstalled()
            checkRetired(before: generation, but: receipt.readers)
            // A reader that entered the new array early may be named too.
            check(
                receipt.retired == receipt.readers.isEmpty
                    && receipt.readers.allSatisfy { stays[$0] != nil }, .retiredIsLeft,
                "retired is \(receipt.retired), readers \(receipt.readers), inside \(stays)")
            check(
                !receipt.quiesced || !transaction.ranBesideGuest || transaction.continuity != nil,
                .vcpusHeld,
                "the receipt of \(generation) claims quiescence, but a vCPU was in the guest")
        case .rolledBack:
            dirty.rolledBack(to: active, mayReportAll: transaction.continuity != nil)
            checkInstalled()
        case .failed(let failure, _):
            check(
                failure.installed == installed, .installedIsActive,
                "the failure lists \(failure.installed), installed are \(installed)")
            checkPrivateRanges(failure)
            isReleased = false
            if transaction.isRecovery {
                dirty.recovered(to: active, isComplete: false)
            } else {
                dirty.rolledBack(to: active, mayReportAll: transaction.continuity != nil)
            }
        case .retired(let at):
            counts[.retirements] += 1
            checkRetired(before: at)
        case .recovered:
            dirty.recovered(to: active, isComplete: true)
            checkInstalled()
        }
    }
}
