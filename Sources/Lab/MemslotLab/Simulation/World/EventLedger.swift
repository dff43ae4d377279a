import Memslots

/// What happened to the table, as it was told first; all others are held against it.
struct EventLedger {
    struct Entry: Equatable {
        enum Kind: Equatable { case committed, rolledBack, failed, recovered, retired }

        let kind: Kind
        let generation: Generation

        /// What subscribers are sent.
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
    /// On whose thread each was told.
    private var owners: [String] = []
    /// The one that is to come back as an answer to its owner.
    private var open: Int?

    var count: Int { entries.count }

    mutating func append(_ kind: Entry.Kind, _ generation: Generation, by owner: String) {
        entries.append(Entry(kind: kind, generation: generation))
        owners.append(owner)
        guard kind != .retired else { return }
        if open != nil { areAllAnswered = false }
        open = entries.count - 1
    }

    /// Takes the last entry for the answer that says the same.
    ///
    /// - Returns: whether it is there, alone, and nobody's yet.
    mutating func answer(
        _ kind: Entry.Kind, _ generation: Generation, to owner: String
    ) -> Bool {
        defer { open = nil }
        guard let open else { return false }
        return owners[open] == owner && entries[open] == Entry(kind: kind, generation: generation)
    }

    /// Whether a failure is the last entry, and has not come back to `owner` yet.
    func hasNewFailure(of owner: String) -> Bool {
        open.map { entries[$0].kind == .failed && owners[$0] == owner } ?? false
    }

    /// Whether each came back before the next was told.
    private(set) var areAllAnswered = true

    /// Whether nothing is to come back any more.
    var isSettled: Bool { areAllAnswered && open == nil }
}

extension World {
    /// What is told as retired up to `generation`, nobody looks at.
    private func checkRetired(before generation: Generation, but readers: [String] = []) {
        for (name, stay) in stays where stay < generation && !readers.contains(name) {
            report(
                .retiredIsLeft, "\(name) looks at \(stay), which is retired before \(generation)")
        }
    }

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
            checkRetired(before: generation, but: receipt.readers)
            // One that entered the new array before the look at who stays may be named too.
            check(
                receipt.retired == receipt.readers.isEmpty
                    && receipt.readers.allSatisfy { stays[$0] != nil },
                .retiredIsLeft,
                "retired is \(receipt.retired), staying \(receipt.readers), inside \(stays)")
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
        case .retired(let at):
            note("retired before \(at)")
            counts.retirements += 1
            check(at <= generation, .generationsDense, "retired at \(at), after \(generation)")
            events.append(.retired, at, by: scheduler.running)
            checkRetired(before: at)
        case .recovered(let at):
            note("recovered at \(at)")
            check(at == generation, .generationsDense, "recovered at \(at), after \(generation)")
            events.append(.recovered, at, by: scheduler.running)
            dirty.recovered(to: active)
            checkInstalled()
        }
    }
}
