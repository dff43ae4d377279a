import Memslots

struct PointVisit {
    let point: FaultPoint
    let world: SweepWorld
    let run: CleanRun
    var findings: [String] = []
    /// The number of recoveries with an injected fault.
    var recoveries = 0

    mutating func execute() {
        do throws(DirtyLogError) { try world.makeDirty() } catch {
            return findings.append("the dirty logs before: \(error)")
        }
        submit()
        checkBackEnd()
        for call in world.backend.unheldCalls where !mayRunBesideGuest(call) {
            findings.append("\(call.name) of slot \(call.key) beside the guest")
        }
        findings += world.hold.faults.prefix(1)
        check(!world.hold.isHeld, "vCPUs are still held")
    }

    /// Adds a finding unless the condition is met.
    mutating func check(_ isMet: Bool, _ finding: @autoclosure () -> String) {
        if !isMet { findings.append(finding()) }
    }

    /// Whether the plan is nothing but this deletion of a slot that does not log; or, for
    /// continuity, whether the call ends no log and takes away no page that both arrays map.
    private func mayRunBesideGuest(_ call: SlotCall) -> Bool {
        guard let slot = call.before, !slot.isLogging else { return false }
        if world.scene.quiesce == .continuity {
            let (before, after) = (world.scene.before, run.receipt.slots)
            return ![before, after].allSatisfy { $0.contains { $0.overlaps(slot) } }
        }
        guard case .delete = call else { return false }
        return run.calls == [call]
    }

    /// Whether a rollback may report more pages: the guest ran after logs had ended.
    private func overReports(after index: Int) -> Bool {
        run.quiesced && index >= run.tail && run.calls.contains(where: \.endsLogging)
    }

    /// Whether the visit has reported more pages than the guest has written.
    var overReports: Bool {
        switch point {
        case .call(let index, _, _), .callHeldAgain(let index, _), .callThenReading(let index, _),
            .undo(let index, _, _, _):
            overReports(after: index)
        case .backEnd(_, _, let rollsBack): rollsBack && overReports(after: 0)
        default: false
        }
    }

    /// Whether the transaction commits though a back end fails.
    var commits: Bool {
        guard case .backEnd(_, _, let rollsBack) = point else { return false }
        return !isVetoed && !rollsBack
    }

    /// Whether the back end fails while the transaction can still be vetoed.
    private var isVetoed: Bool {
        guard case .backEnd(let kind, let message, _) = point else { return false }
        switch kind {
        case .dies, .isSilent: return message < run.prepared
        // It is found at the next message.
        case .diesAfterwards: return message + 1 < run.prepared
        // The last message, a round trip, is not acknowledged.
        case .refuses, .lies: return message < run.prepared - 1
        }
    }

    private mutating func submit() {
        switch point {
        case .nothing: commit()
        case .backEnd(let kind, let message, let rollsBack):
            world.backEnd?.deadline = { .after(.milliseconds(kind == .isSilent ? 50 : 60_000)) }
            world.backEnd?.fail(kind, at: message)
            if isVetoed {
                world.begin()
                let result = world.submit()
                if case .failure(.rejected("back end", _, _)) = result {
                } else {
                    findings.append("\(result), not vetoed")
                }
                checkUnchanged(hooks: abortedCalls())
            } else if rollsBack {
                world.begin(FaultScript(calls: .init(0, .ioError)))
                expectRollback(.ioError, 0)
            } else {
                commit()
            }
        case .conflict:
            world.begin()
            let present = world.table.snapshot().generation
            expect(
                world.submit(expecting: present.next),
                .conflict(present: present, expected: present.next))
            checkUnchanged(hooks: [])
        case .veto(let step):
            world.begin(veto: step)
            let call = run.preparations[step]
            expect(
                world.submit(),
                .rejected(hook: call.hook, change: call.change, reason: RecordingHook.reason))
            checkUnchanged(hooks: abortedCalls(vetoedAt: step))
        case .readerStays:
            world.begin()
            let world = world
            let result = BlockingReader.block(world.table) { world.submit(deadline: 0) }
            expect(result, .quiesceTimeout(vcpus: [], readers: [BlockingReader.name]))
            checkUnchanged(hooks: abortedCalls())
        case .vcpuStays:
            world.begin()
            world.hold.keepInside(true)
            let result = world.submit()
            world.hold.keepInside(false)
            expect(result, .quiesceTimeout(vcpus: [ScriptedHold.vcpu], readers: []))
            checkUnchanged(hooks: abortedCalls())
        case .reading(let read, let errno, let persistently):
            world.begin(FaultScript(reads: .init(read, errno, persistently: persistently)))
            expectRollback(errno, nil)
        case .call(let index, let errno, let persistently):
            world.begin(FaultScript(calls: .init(index, errno, persistently: persistently)))
            if !persistently || index == 0 { return expectRollback(errno, index) }
            expectFailure(errno, index, undone: 0, errno, stillBroken: true)
        case .callUnheld(let index, let errno):
            world.begin(FaultScript(calls: .init(index, errno)))
            world.hold.keepInside(true)
            expectRollback(errno, index)
            world.hold.keepInside(false)
        case .callHeldAgain(let index, let errno):
            world.begin(FaultScript(calls: .init(index, errno)))
            let isTail = index >= run.tail
            world.hold.keepInside(true, in: isTail ? 1 : 0)
            if isTail {
                expectFailure(errno, index, undone: 0, .timedOut, stillBroken: false)
            } else {
                expectRollback(errno, index)
            }
            world.hold.keepInside(false)
        case .callThenReading(let index, let errno):
            world.begin(
                FaultScript(
                    calls: .init(index, errno),
                    reads: .init(run.reads, .badAddress, persistently: true)))
            // The undo reads only logs that began beside the guest.
            let undone = run.calls[..<index].reversed()
            if !run.quiesced || index >= run.tail,
                let read = undone.firstIndex(where: { $0.inverse.endsLogging })
            {
                let done = undone.distance(from: undone.startIndex, to: read)
                return expectFailure(errno, index, undone: done, .badAddress, stillBroken: false)
            }
            expectRollback(errno, index, mayReportMore: true)
        case .attribute(let index, let errno, let undo):
            let (number, changes) = (run.calls.count + index, run.receipt.attributes)
            var script = FaultScript(calls: .init(number, errno))
            if let undo { script.calls.single[number + 1 + undo] = .ioError }
            world.begin(script)
            guard let undo else { return expectRollback(errno, nil, changes[index]) }
            expectFailure(
                errno, nil, undone: max(undo - index, 0), .ioError, stillBroken: false,
                attributes: changes.prefix(max(index - undo, 0)))
        case .undo(let index, let errno, let undo, let second):
            var script = FaultScript(calls: .init(index, errno))
            script.calls.single[index + 1 + undo] = second
            world.begin(script)
            expectFailure(errno, index, undone: undo, second, stillBroken: false)
        }
    }

    mutating func expect(_ result: Result<Receipt, SubmitError>, _ wanted: SubmitError) {
        if result == .failure(wanted) { return }
        switch result {
        case .success(let receipt): findings.append("\(receipt.outcome), not \(wanted.kind)")
        case .failure(let error): findings.append("\(error), not \(wanted)")
        }
    }

    private mutating func expectRollback(
        _ errno: Errno, _ index: Int?, _ attribute: MemoryAttributeChange? = nil,
        mayReportMore: Bool? = nil
    ) {
        let result = world.submit()
        if case .failure(.rolledBack(let rollback)) = result {
            check(
                rollback.errno == errno && rollback.operation == index
                    && rollback.call == index.map { run.calls[$0] }
                    && rollback.attribute == attribute,
                "rolled back, but reported as \(rollback)")
        } else {
            findings.append("\(result), not rolled back")
        }
        world.backend.arm(FaultScript())
        checkUnchanged(hooks: abortedCalls(), mayReportMore: mayReportMore, event: "rolled back at")
    }
}
