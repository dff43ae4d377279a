import Memslots

/// What the hooks must have been told.
enum HookCourse {
    /// Nothing at all.
    case silent
    /// All prepared, all aborted.
    case aborted
    /// Prepared up to a step, that one refused, those before it aborted.
    case vetoed(Int)
}

/// How exactly dirty pages must be told.
enum DirtMeasure {
    case exactly
    /// More may be told, never fewer: a log that began full could not be emptied.
    case atLeast
}

extension PointVisit {
    /// Everything that can be seen must be as before.
    mutating func lookBefore(
        hooks: HookCourse, dirt: DirtMeasure = .exactly, told: String? = nil
    ) {
        if !world.vm.holdsExactly(world.scene.before) { findings.append("other slots installed") }
        lookAtReaders()
        lookAtHooks(hooks)
        let told = told.map { ["\($0) 0"] } ?? []
        if world.events.told != told { findings.append("observers told \(world.events.told)") }
        if let failure = world.table.failure { findings.append("failed: \(failure)") }
        if !world.table.history().isEmpty { findings.append("a receipt in the history") }
        lookAtDirt(dirt)
        lookAtIDs()
    }

    mutating func lookAtReaders() {
        let snapshot = world.table.snapshot()
        if snapshot.generation != Generation(0) {
            findings.append("generation \(snapshot.generation)")
        }
        if snapshot.array.slots != world.scene.before {
            findings.append("readers see another array")
        }
    }

    /// Every preparation is aborted once, in reverse, with readers on the old array.
    mutating func lookAtHooks(_ course: HookCourse) {
        let prepared = run.notes(.prepare)
        var wanted: [RecordingHook.Note] = []
        switch course {
        case .silent: break
        case .aborted: wanted = prepared + Self.aborts(of: prepared[...])
        case .vetoed(let step): wanted = prepared[...step] + Self.aborts(of: prepared[..<step])
        }
        if world.book.notes != wanted {
            findings.append(
                "hooks: \(world.book.notes.count) calls, not the \(wanted.count) wanted")
        }
    }

    private static func aborts(of notes: ArraySlice<RecordingHook.Note>) -> [RecordingHook.Note] {
        notes.reversed().map {
            RecordingHook.Note(
                hook: $0.hook, phase: .abort, change: $0.change, generation: $0.generation)
        }
    }

    mutating func lookAtDirt(_ measure: DirtMeasure) {
        for (key, wanted) in world.dirt {
            do throws(DirtyLogError) {
                let told = try world.table.dirtyLog(of: key).bitmap
                if told == wanted { continue }
                var both = told
                both.formUnion(wanted)
                if measure == .atLeast && both == told { continue }
                findings.append("slot \(key) tells \(told.runs) as dirty, not \(wanted.runs)")
            } catch {
                findings.append("the dirty log of slot \(key): \(error)")
            }
        }
    }

    /// The next submit picks the ids and makes the calls that this one would have made.
    mutating func lookAtIDs() {
        guard let plan = world.plan() else {
            findings.append("the array can't be planned any more")
            return
        }
        if plan.slots != run.receipt.slots { findings.append("other ids are picked") }
        if plan.operations != run.receipt.operations { findings.append("other calls are planned") }
        if plan.generation != run.receipt.generation { findings.append("another generation next") }
    }
}

extension PointVisit {
    /// Nothing goes wrong: everything must be as wanted, and no dirty page be lost or made up.
    mutating func commit() {
        world.begin()
        guard case .success(let receipt) = world.submit() else {
            findings.append("not committed, though nothing fails")
            return
        }
        let wanted = receipt.slots.sorted { $0.assignedKey < $1.assignedKey }
        if receipt.operations != run.receipt.operations
            || receipt.slots != run.receipt.slots
        {
            findings.append("another way or other ids than in a fresh world")
        }
        if !world.vm.holdsExactly(wanted) { findings.append("other slots installed than wanted") }
        let snapshot = world.table.snapshot()
        if snapshot.generation != Generation(1) || receipt.generation != Generation(1) {
            findings.append("generation \(snapshot.generation)")
        }
        if snapshot.array.slots != wanted { findings.append("readers see another array") }
        if world.events.told != ["committed 0 to 1"] {
            findings.append("observers told \(world.events.told)")
        }
        if world.table.history().map(\.generation) != [Generation(1)] {
            findings.append("the history is not that of one commit")
        }
        lookAtCommitHooks()
        lookAtCarriedDirt(receipt, wanted)
    }

    /// Prepared, committed and finished: each change, each hook, once, in one order.
    private mutating func lookAtCommitHooks() {
        let prepared = run.notes(.prepare)
        func course(_ phase: RecordingHook.Phase, _ generation: UInt64) -> [RecordingHook.Note] {
            prepared.map {
                RecordingHook.Note(
                    hook: $0.hook, phase: phase, change: $0.change,
                    generation: Generation(generation))
            }
        }
        let wanted = course(.prepare, 0) + course(.commit, 0) + course(.finish, 1)
        if world.book.notes != wanted { findings.append("hooks in another course") }
    }

    private mutating func lookAtCarriedDirt(_ receipt: Receipt, _ wanted: [Memslot]) {
        let ledger = PageLedger(
            world.dirt, of: world.scene.before, ended: run.calls.filter(\.endsLogging),
            begun: run.calls.filter { $0.after?.isLogging == true && $0.before?.isLogging != true },
            to: wanted, startsFull: world.table.capabilities.dirtyLogStartsFull)
        if ledger.handedBack != Self.pages(of: receipt.unmappedDirtyPages) {
            findings.append("handed back \(receipt.unmappedDirtyPages)")
        }
        for (key, pages) in ledger.told {
            do throws(DirtyLogError) {
                let told = try world.table.dirtyLog(of: key).bitmap
                if told != pages {
                    findings.append("slot \(key) tells \(told.runs), not \(pages.runs)")
                }
            } catch {
                findings.append("the dirty log of slot \(key): \(error)")
            }
        }
    }

    private static func pages(of handedBack: [DirtyPages]) -> [Memslot: [Range<UInt64>]] {
        Dictionary(uniqueKeysWithValues: handedBack.map { ($0.slot, $0.runs) })
    }
}
