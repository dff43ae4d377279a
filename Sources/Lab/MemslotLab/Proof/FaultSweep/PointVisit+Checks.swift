import Memslots

extension PointVisit {
    /// Checks that everything observable is as before, and the calls of hooks. `mayReportMore`: a log
    /// that began full could not be cleared; by default as the point says.
    mutating func checkUnchanged(
        hooks: [RecordingHook.Call], mayReportMore: Bool? = nil, event: String? = nil
    ) {
        check(world.holdsExactly(world.scene.before), "other slots installed")
        checkReaders()
        checkHooks(hooks)
        checkEvents(event.map { ["\($0) 0"] } ?? [])
        if let failure = world.table.failure { findings.append("failed: \(failure)") }
        check(world.table.history().isEmpty, "a receipt in the history")
        for (key, wanted) in world.dirt {
            checkDirtyLog(of: key, wanted, mayReportMore: mayReportMore ?? overReports)
        }
        checkPlan()
    }

    mutating func checkEvents(_ expected: [String]) {
        let received = world.events.withLock { $0 }
        check(received == expected, "observers received \(received)")
    }

    /// Checks that the back end has the memory of the table, also once it is connected again.
    mutating func checkBackEnd() {
        guard let backEnd = world.backEnd else { return }
        let slots = world.table.snapshot().array.slots
        if let fault = backEnd.fault(under: slots) { findings.append("the back end: \(fault)") }
        backEnd.disarm()
        guard backEnd.isLost else { return }
        try? backEnd.reconnect()
        check(
            !backEnd.isLost && backEnd.fault(under: slots) == nil,
            "the back end does not follow again")
    }

    mutating func checkReaders() {
        let snapshot = world.table.snapshot()
        check(snapshot.generation == Generation(0), "generation \(snapshot.generation)")
        check(
            snapshot.array.slots == world.scene.before && snapshot.privateRanges.isEmpty,
            "readers see another array")
    }

    /// The calls of hooks if all is prepared, or what is before a vetoed step, and is then aborted
    /// once, in reverse, with readers on the old array.
    func abortedCalls(vetoedAt step: Int? = nil) -> [RecordingHook.Call] {
        let calls = run.preparations
        let aborted = calls[..<(step ?? calls.count)].reversed().map {
            $0.next(.abort, at: $0.generation)
        }
        return calls[..<(step.map { $0 + 1 } ?? calls.count)] + aborted
    }

    mutating func checkHooks(_ wanted: [RecordingHook.Call]) {
        let calls = world.hookLog.calls
        check(calls == wanted, "hooks: \(calls.count) calls, not \(wanted.count)")
    }

    private mutating func checkDirtyLog(
        of key: SlotKey, _ wanted: DirtyBitmap, mayReportMore: Bool = false
    ) {
        do throws(DirtyLogError) {
            let found = try world.table.dirtyLog(of: key).bitmap
            if found == wanted { return }
            var both = found
            both.formUnion(wanted)
            if mayReportMore && both == found { return }
            findings.append("slot \(key) reports \(found.runs) as dirty, not \(wanted.runs)")
        } catch { findings.append("the dirty log of slot \(key): \(error)") }
    }

    /// Checks that the next submit would pick the same ids and apply the same operations.
    mutating func checkPlan() {
        guard let plan = world.plan() else {
            return findings.append("the array can't be planned any more")
        }
        check(plan.slots == run.receipt.slots, "other ids are picked")
        check(plan.operations == run.receipt.operations, "other operations are planned")
        check(plan.generation == run.receipt.generation, "another next generation")
    }

    /// Submits without a fault: everything must be as wanted, with exactly the right dirty pages.
    mutating func commit() {
        world.begin()
        guard case .success(let receipt) = world.submit() else {
            return findings.append("not committed without a fault")
        }
        let wanted = receipt.slots.sorted { $0.assignedKey < $1.assignedKey }
        check(
            receipt.operations == run.receipt.operations && receipt.slots == run.receipt.slots,
            "other operations or ids than in a fresh world")
        check(
            world.holdsExactly(wanted, world.privateRanges), "other slots installed than wanted")
        let snapshot = world.table.snapshot()
        check(
            snapshot.generation == Generation(1) && receipt.generation == Generation(1),
            "generation \(snapshot.generation)")
        check(
            snapshot.array.slots == wanted && snapshot.privateRanges == world.privateRanges,
            "readers see another array")
        checkEvents(["committed 1 after 0"])
        check(
            world.table.history().map(\.generation) == [Generation(1)],
            "the history is not that of one commit")
        checkCommitHooks()
        checkCarriedPages(receipt, wanted)
    }

    /// Checks that each hook prepared, committed and finished each change once and in order.
    private mutating func checkCommitHooks() {
        func course(_ phase: RecordingHook.Phase, _ generation: UInt64) -> [RecordingHook.Call] {
            run.preparations.map { $0.next(phase, at: Generation(generation)) }
        }
        let wanted = course(.prepare, 0) + course(.commit, 0) + course(.finish, 1)
        check(world.hookLog.calls == wanted, "hooks were called in another order")
    }

    private mutating func checkCarriedPages(_ receipt: Receipt, _ wanted: [Memslot]) {
        let ledger = PageLedger(
            world.dirt, of: world.scene.before, run.calls, to: wanted,
            startsFull: world.table.capabilities.dirtyLogStartsFull,
            pageSize: world.table.capabilities.pageSize)
        check(
            ledger.isReturned(by: receipt), "the receipt returned \(receipt.unmappedDirtyPages)")
        for (key, pages) in ledger.logs { checkDirtyLog(of: key, pages) }
    }
}
