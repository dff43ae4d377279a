import Memslots

extension PointVisit {
    /// Submits, expects a failure after `undone` undone operations, and recovers the VM.
    /// `stillBroken`: all operations keep failing, so that a recovery must fail too.
    mutating func expectFailure(
        _ errno: Errno, _ index: Int?, undone: Int, _ undoErrno: Errno, stillBroken: Bool,
        attributes: ArraySlice<MemoryAttributeChange> = []
    ) {
        let result = world.submit()
        guard case .failure(.failed(let failure)) = result else {
            return findings.append("\(result), not failed")
        }
        check(
            failure.errno == errno && failure.operation == index && failure.undoErrno == undoErrno
                && failure.installed == installed(after: index ?? run.calls.count, undone: undone)
                && failure.attributes == Array(attributes),
            "failed, but reported as \(failure)")
        checkFailed(failure)
        checkReaders()
        checkHooks(abortedCalls())
        checkEvents(["failed at 0"])
        if stillBroken {
            failRecovery(
                FaultScript(calls: .init(0, errno, persistently: true)), errno, from: failure)
        } else {
            failRecoveryAtEachOperation(from: failure)
        }
        recover()
    }

    /// Checks that a failed table refuses everything and keeps its slots.
    private mutating func checkFailed(_ failure: TableFailure) {
        check(world.table.failure == failure, "the failure is not kept")
        check(
            world.holdsExactly(failure.installed, failure.attributes.map(\.range)),
            "other slots installed than reported")
        check(world.hold.isHeld, "vCPUs run on a failed VM")
        expect(world.submit(), .failed(failure))
        for key in world.dirt.keys.prefix(1) {
            do throws(DirtyLogError) {
                _ = try world.table.dirtyLog(of: key)
                findings.append("a failed VM returns a dirty log")
            } catch { check(error == .failed(failure), "a dirty log: \(error)") }
        }
    }

    /// Fails the first operation of a recovery, then the second of the next, up to the last.
    private mutating func failRecoveryAtEachOperation(from failure: TableFailure) {
        var failure = failure
        // In a long recovery the first operations suffice.
        for call in 0..<(run.calls.count > 100 ? 2 : 32) {
            let next = Self.plan(from: failure.installed, to: world.scene.before)
            guard call < next.count + failure.attributes.count else { return }
            let errnos = call < next.count ? KernelErrnos.of(next[call]) : KernelErrnos.ofAttribute
            let errno = errnos[call % errnos.count]
            failRecovery(FaultScript(calls: .init(call, errno)), errno, from: failure)
            guard let left = world.table.failure else { return }
            failure = left
        }
    }

    private mutating func failRecovery(
        _ script: FaultScript, _ errno: Errno, from failure: TableFailure
    ) {
        recoveries += 1
        world.begin(script)
        var wanted = failure
        do throws(SubmitError) {
            try world.table.recover()
            return findings.append("recovered though an operation fails")
        } catch {
            guard case .failed(let still) = error else {
                return findings.append("a failed recovery: \(error)")
            }
            // A recovery has held all vCPUs.
            (wanted.undoErrno, wanted.vcpus) = (errno, [])
            (wanted.installed, wanted.attributes) = (still.installed, still.attributes)
            check(still == wanted, "a failed recovery reports \(still)")
            checkFailed(still)
            checkReaders()
        }
        check(world.hookLog.calls.isEmpty, "a recovery called hooks")
    }

    private mutating func recover() {
        world.begin()
        do throws(SubmitError) { try world.table.recover() } catch {
            return findings.append("not recovered: \(error)")
        }
        checkUnchanged(hooks: [], event: "recovered at")
    }

    /// The slots that must be installed, derived from the operations.
    private func installed(after index: Int, undone: Int) -> [Memslot] {
        var slots = Dictionary(
            uniqueKeysWithValues: world.scene.before.map { ($0.assignedKey, $0) })
        for call in run.calls[..<index] { slots[call.key] = call.after }
        for call in run.calls[..<index].reversed().prefix(undone) { slots[call.key] = call.before }
        return slots.values.sorted { $0.assignedKey < $1.assignedKey }
    }

    private static func plan(from installed: [Memslot], to before: [Memslot]) -> [SlotCall] {
        Plan(MemslotDiff(from: installed, to: before)).operations.map(\.call)
    }
}
