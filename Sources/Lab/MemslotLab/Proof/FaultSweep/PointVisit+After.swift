import Memslots

extension PointVisit {
    /// Nothing goes wrong: everything must be as wanted, and no dirty page be lost or made up.
    mutating func commit() {
        world.begin()
        guard case .success(let receipt) = world.submit() else {
            findings.append("not committed, though nothing fails")
            return
        }
        let wanted = (receipt.slots ?? world.scene.wanted).sorted { $0.key < $1.key }
        if receipt.operations != run.receipt.operations
            || receipt.slots != nil && receipt.slots != run.receipt.slots
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
