import Memslots

extension PointVisit {
    /// The submit must name the VM failed and tell what is installed; then the VM is brought back.
    ///
    /// - Parameters:
    ///   - undone: how many calls were undone before the undo failed.
    ///   - stillBroken: whether all calls go on failing, so that a recovery must fail too.
    mutating func expectFailure(
        _ errno: Errno, _ index: Int, undone: Int, _ undoErrno: Errno, stillBroken: Bool
    ) {
        let answer = world.submit()
        guard case .failure(.failed(let failure)) = answer else {
            findings.append("\(answer), not failed")
            return
        }
        if failure.errno != errno || failure.operation != index || failure.undoErrno != undoErrno
            || failure.installed != installed(after: index, undone: undone)
        {
            findings.append("failed, but told as \(failure)")
        }
        look(at: failure)
        lookAtReaders()
        lookAtHooks(.aborted)
        if world.events.told != ["failed at 0"] {
            findings.append("observers told \(world.events.told)")
        }
        if stillBroken {
            failRecovery(FaultScript.allCalls(errno), errno, from: failure)
        } else {
            failRecoveryAtEachCall(from: failure)
        }
        recover()
    }

    /// Nothing else is let through, and nothing has moved.
    private mutating func look(at failure: TableFailure) {
        if world.table.failure != failure { findings.append("the failure is not kept") }
        if !world.vm.holdsExactly(failure.installed) {
            findings.append("other slots installed than told")
        }
        if !world.hold.isHeld { findings.append("vCPUs run on a failed VM") }
        expect(world.submit(), .failed(failure))
        for key in world.dirt.keys.prefix(1) {
            do throws(DirtyLogError) {
                _ = try world.table.dirtyLog(of: key)
                findings.append("a failed VM tells a dirty log")
            } catch {
                if error != .failed(failure) { findings.append("a dirty log: \(error)") }
            }
        }
    }

    /// Fails the first call of a recovery, then the second of the next, and so on until one needs
    /// no more calls than that.
    private mutating func failRecoveryAtEachCall(from failure: TableFailure) {
        var failure = failure
        // In a very long way back the first calls will do.
        for call in 0..<(run.calls.count > 100 ? 2 : 32) {
            let next = Self.plan(from: failure.installed, to: world.scene.before)
            guard call < next.count else { return }
            let errnos = KernelErrnos.of(next[call])
            let errno = errnos[call % errnos.count]
            failRecovery(FaultScript(call: call, errno), errno, from: failure)
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
            findings.append("recovered though a call fails")
            return
        } catch {
            guard case .failed(let still) = error else {
                findings.append("a failed recovery: \(error)")
                return
            }
            wanted.undoErrno = errno
            wanted.installed = still.installed
            if still != wanted { findings.append("a failed recovery tells \(still)") }
            look(at: still)
            lookAtReaders()
        }
        if !world.book.notes.isEmpty { findings.append("hooks told of a recovery") }
    }

    private mutating func recover() {
        world.begin()
        do throws(SubmitError) {
            try world.table.recover()
        } catch {
            findings.append("not recovered: \(error)")
            return
        }
        lookBefore(hooks: .silent, told: "recovered at")
    }

    /// What must be installed, by the calls alone.
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

extension FaultScript {
    fileprivate static func allCalls(_ errno: Errno) -> FaultScript {
        var script = FaultScript()
        script.callsFrom = (0, errno)
        return script
    }
}
