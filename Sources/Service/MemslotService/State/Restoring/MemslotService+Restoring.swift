internal import MemslotProtocol
internal import Memslots
internal import Synchronization

extension MemslotService {
    /// Makes every VM of the state anew, and submits its array again, in one transaction.
    ///
    /// Call it once, before anything else. What can't be restored stays in the state, and is told
    /// to the state's observer and by `server.info`.
    ///
    /// - Throws: where the directory can't be read at all.
    public func restore() throws(StateError) {
        guard let state else { return }
        var found = try StateFindings(in: state)
        for number in found.records.sorted() {
            let name = StateNames.record(number)
            do throws(DamagedRecord) {
                let record = try found.read(number, in: state)
                guard vm(record) == nil, unrestored(record) == nil else {
                    throw DamagedRecord("there is another record of the VM \"\(record.create.vm)\"")
                }
                restore(record, state)
                found.claim(record)
            } catch {
                found.setAside(name, of: number, error.reason, in: state)
            }
        }
        found.removeTheRest(of: state)
    }

    private func vm(_ record: VMRecord) -> VirtualMachine? {
        registry.withLock { $0.vm(record.create.vm, of: Peer(user: record.user)) }
    }

    private func unrestored(_ record: VMRecord) -> StateTroubles.Unrestored? {
        unrestored(record.create.vm, of: Peer(user: record.user))
    }

    private func restore(_ record: VMRecord, _ state: StateStore) {
        let name = record.create.vm
        do throws(ProtocolError) {
            let vm = try VirtualMachine(restoring: record, state, self)
            registry.withLock { $0.add(vm) }
            let table = vm.feed.published.table
            state.note(
                .restored(
                    vm: name, user: record.user, generation: table.generation,
                    slots: table.slots.count))
        } catch {
            let trouble = StateTroubles.Unrestored(
                record: record.number, memories: record.memories, reason: error.message)
            state.troubles.withLock { $0.unrestored[record.user, default: [:]][name] = trouble }
            state.note(
                .unrestored(
                    vm: name, user: record.user, file: StateNames.record(record.number),
                    reason: error.message))
        }
    }
}

extension VirtualMachine {
    /// Makes the VM of a record anew: its backend, its memory, and its array.
    fileprivate convenience init(
        restoring record: VMRecord, _ state: StateStore, _ service: MemslotService
    ) throws(ProtocolError) {
        let made = try service.backends.make(
            record.create.backend, simulated: record.create.simulated)
        // An array that is not empty is submitted, which counts one.
        let counted: UInt64 = record.submit.slots.isEmpty ? 0 : 1
        guard record.generation.rawValue >= counted else {
            throw ProtocolError(.invalidRequest, "no VM has slots at generation 0")
        }
        let before = record.generation.rawValue - counted
        let table: MemslotTable
        do throws(InvalidArray) {
            table = try MemslotTable(
                backend: made.backend,
                limits: TableLimits(
                    violations: service.limits.violations, receipts: service.limits.receipts),
                generation: Generation(before))
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        let memory = VMMemory(
            vm: record.create.vm,
            hasRawAddresses: made.simulator != nil || service.takesRawAddresses)
        do throws(ReentryError) {
            try self.init(
                table, simulator: made.simulator, guestMemfds: made.guestMemfds, memory: memory,
                account: service.registry.withLock { $0.account(of: record.user) },
                audience: service.audience,
                kept: KeptVM(state, number: record.number, simulated: record.create.simulated))
        } catch {
            throw ProtocolError(.invalidRequest, error.message)
        }
        try restoreMemory(record, state)
        // As it stands in the record, through all that a peer's submit goes through.
        let receipt = try submit(record.submit).receipt
        guard receipt.generation == record.generation else {
            throw ProtocolError(.invalidRequest, "the array came back as \(receipt.generation)")
        }
    }

    private func restoreMemory(_ record: VMRecord, _ state: StateStore) throws(ProtocolError) {
        for kept in record.memories {
            let kind: MemoryObject.Kind
            if kept.place == .guestMemfd {
                kind = try restoreGuestMemfd(kept)
            } else {
                do throws(DamagedRecord) {
                    kind = .mapped(try state.restore(kept, of: record.number))
                } catch {
                    throw ProtocolError(.backendUnavailable, error.reason)
                }
            }
            let object = MemoryObject(
                id: kept.id, name: kept.name, size: kept.size, pageSize: kept.pageSize,
                kind: kind, reservation: account.reserve(held: kept.size.rawValue),
                place: kept.place)
            memory.objects.withLock { $0.add(object) }
        }
        memory.objects.withLock { $0.skip(record.lastMemory) }
    }

    private func restoreGuestMemfd(
        _ kept: KeptMemory
    ) throws(ProtocolError) -> MemoryObject.Kind {
        do throws(Errno) {
            return .guestMemfd(handle: try createGuestMemfd(size: kept.size))
        } catch {
            throw .unavailable(.guestMemfd, kept.size, error)
        }
    }
}
