import Memslots

/// What happened to the table, as it was told first; all others are held against it.
struct EventLedger {
    struct Entry: Equatable {
        enum Kind: Equatable { case committed, rolledBack, failed, recovered }

        let kind: Kind
        let generation: Generation

        /// What subscribers are sent.
        var method: String {
            switch kind {
            case .committed: "memslots.committed"
            case .rolledBack, .recovered: "memslots.rolledBack"
            case .failed: "memslots.failed"
            }
        }
    }

    private(set) var entries: [Entry] = []
    /// On whose thread each was told.
    private var owners: [String] = []
    /// How many of them have come back as an answer to their owner.
    private var answered = 0

    var count: Int { entries.count }

    mutating func append(_ kind: Entry.Kind, _ generation: Generation, by owner: String) {
        entries.append(Entry(kind: kind, generation: generation))
        owners.append(owner)
    }

    /// Takes the last entry for the answer that says the same.
    ///
    /// - Returns: whether it is there, alone, and nobody's yet.
    mutating func answer(
        _ kind: Entry.Kind, _ generation: Generation, to owner: String
    ) -> Bool {
        defer { answered = entries.count }
        return entries.count == answered + 1 && owners.last == owner
            && entries.last == Entry(kind: kind, generation: generation)
    }

    /// Whether a failure is the last entry, and has not come back to `owner` yet.
    func hasNewFailure(of owner: String) -> Bool {
        entries.count > answered && entries.last?.kind == .failed && owners.last == owner
    }

    var areAllAnswered: Bool { answered == entries.count }
}

extension World {
    /// Notes what the table tells, before anybody else is told.
    func note(_ event: TableEvent) {
        switch event {
        case .committed(let receipt, let previous, let array):
            let receipt = wiring.receipt(receipt)
            note("committed \(receipt.generation)")
            check(
                previous == generation && receipt.generation == generation.next,
                .generationsDense, "\(previous) to \(receipt.generation), after \(generation)")
            generation = receipt.generation
            active = array.slots
            arrays[generation] = active
            events.append(.committed, generation, by: scheduler.running)
            if let fault = dirty.committed(receipt, active) { report(.dirtyBitsKept, fault) }
            checkInstalled()
            check(
                !receipt.quiesced || !transaction.ranBesideGuest, .vcpusHeld,
                "the receipt of \(generation) says quiesced, but a vCPU ran beside its calls")
        case .rolledBack(_, let at):
            note("rolled back at \(at)")
            check(at == generation, .generationsDense, "undone at \(at), after \(generation)")
            events.append(.rolledBack, at, by: scheduler.running)
            dirty.rolledBack(to: active)
            checkInstalled()
        case .failed(let failure, let at):
            note("failed at \(at)")
            check(at == generation, .generationsDense, "failed at \(at), after \(generation)")
            check(
                failure.installed == installed, .installedIsActive,
                "the failure tells \(failure.installed), installed are \(installed)")
            isReleased = false
            events.append(.failed, at, by: scheduler.running)
            if transaction.isRecovery {
                dirty.recovered(to: active)
            } else {
                dirty.failed(with: active)
            }
        case .recovered(let at):
            note("recovered at \(at)")
            check(at == generation, .generationsDense, "recovered at \(at), after \(generation)")
            events.append(.recovered, at, by: scheduler.running)
            dirty.recovered(to: active)
            checkInstalled()
        }
    }
}
