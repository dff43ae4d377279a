import Memslots

/// The events of the table, as its first observer receives them.
struct EventLedger {
    struct Entry: Equatable {
        enum Kind: Equatable { case committed, rolledBack, failed, recovered, retired }

        let kind: Kind
        let generation: Generation

        /// The method of the notification to subscribers.
        var method: String {
            switch kind {
            case .committed: "memslots.committed"
            case .rolledBack, .recovered: "memslots.rolledBack"
            case .failed: "memslots.failed"
            case .retired: "memslots.retired"
            }
        }
    }

    private(set) var entries: [Entry] = []
    /// The actor whose thread delivered each event.
    private var owners: [String] = []
    /// The event whose owner has not received the outcome yet.
    private var open: Int?

    var count: Int { entries.count }

    mutating func append(_ kind: Entry.Kind, _ generation: Generation, by owner: String) {
        entries.append(Entry(kind: kind, generation: generation))
        owners.append(owner)
        guard kind != .retired else { return }
        if open != nil { areAllMatched = false }
        open = entries.count - 1
    }

    /// Matches the outcome that `owner` received with the open event.
    ///
    /// - Returns: whether the open event is that of `owner` and reports the same.
    mutating func match(
        _ kind: Entry.Kind, _ generation: Generation, to owner: String
    ) -> Bool {
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
        switch event {
        case .committed(let receipt, let previous, let array):
            let receipt = wiring.receipt(receipt)
            record("committed \(receipt.generation)")
            check(
                previous == generation && receipt.generation == generation.next,
                .generationsDense, "\(previous) to \(receipt.generation), after \(generation)")
            generation = receipt.generation
            active = array.slots
            arrays[generation] = active
            events.append(.committed, generation, by: scheduler.running)
            if let fault = dirty.committed(receipt, active) { report(.dirtyBitsKept, fault) }
            checkInstalled()
            checkRetired(before: generation, but: receipt.readers)
            // A reader that entered the new array early may be named too.
            check(
                receipt.retired == receipt.readers.isEmpty
                    && receipt.readers.allSatisfy { stays[$0] != nil },
                .retiredIsLeft,
                "retired is \(receipt.retired), readers \(receipt.readers), inside \(stays)")
            check(
                !receipt.quiesced || !transaction.ranBesideGuest, .vcpusHeld,
                "the receipt of \(generation) claims quiescence, but a vCPU was in the guest")
        case .rolledBack(_, let at):
            record("rolled back at \(at)")
            check(at == generation, .generationsDense, "rolled back at \(at), after \(generation)")
            events.append(.rolledBack, at, by: scheduler.running)
            dirty.rolledBack(to: active)
            checkInstalled()
        case .failed(let failure, let at):
            record("failed at \(at)")
            check(at == generation, .generationsDense, "failed at \(at), after \(generation)")
            check(
                failure.installed == installed, .installedIsActive,
                "the failure lists \(failure.installed), installed are \(installed)")
            isReleased = false
            events.append(.failed, at, by: scheduler.running)
            if transaction.isRecovery {
                dirty.recovered(to: active)
            } else {
                dirty.rolledBack(to: active)
            }
        case .retired(let at):
            record("retired before \(at)")
            counts.retirements += 1
            check(at <= generation, .generationsDense, "retired at \(at), after \(generation)")
            events.append(.retired, at, by: scheduler.running)
            checkRetired(before: at)
        case .recovered(let at):
            record("recovered at \(at)")
            check(at == generation, .generationsDense, "recovered at \(at), after \(generation)")
            events.append(.recovered, at, by: scheduler.running)
            dirty.recovered(to: active)
            checkInstalled()
        }
    }
}
