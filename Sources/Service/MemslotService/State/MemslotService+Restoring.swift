internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    /// Creates every VM of the state directory again, and submits its array in one transaction.
    ///
    /// Call it once, before any other method. A VM that can't be restored stays in the directory. It
    /// is reported to the store's observer and by `server.info`.
    ///
    /// - Throws: if the directory can't be read.
    public func restore() throws(StateError) {
        guard let state else { return }
        var inventory = try StateInventory(of: state)
        for number in inventory.records.sorted() {
            let name = StateNames.record(number)
            do throws(DamagedRecord) {
                let record = try VMRecord(state.directory.record(name), number: number)
                let (vm, peer) = (record.create.vm, Peer(user: record.user))
                guard registry.withLock({ $0.vm(vm, of: peer) }) == nil,
                    unrestored(vm, of: peer) == nil
                else { throw DamagedRecord("the VM \"\(vm)\" has another record") }
                restore(record, state)
                inventory.claim(record)
            } catch { inventory.setAside(name, of: number, error.reason, in: state) }
        }
        inventory.removeUnused(in: state)
    }

    private func restore(_ record: VMRecord, _ state: StateStore) {
        let name = record.create.vm
        do throws(ProtocolError) {
            let vm = try VirtualMachine(restoring: record, state, self)
            budgets.vms.charge(existing: 1, to: record.user)
            registry.withLock { $0.add(vm) }
            let table = vm.feed.published.table
            state.notify(
                .restored(
                    vm: name, user: record.user, generation: table.generation,
                    slots: table.slots.count))
        } catch {
            let trouble = StateTroubles.Unrestored(
                record: record.number, memories: record.memories, reason: error.message)
            state.troubles.withLock {
                $0.unrestored[record.user, default: [:]][Name(name)] = trouble
            }
            state.notify(
                .unrestored(
                    vm: name, user: record.user, file: StateNames.record(record.number),
                    reason: error.message))
        }
    }
}

extension VirtualMachine {
    /// Creates the VM of a record again: its backend, its memory and its array.
    fileprivate convenience init(
        restoring record: VMRecord, _ state: StateStore, _ service: MemslotService
    ) throws(ProtocolError) {
        // The submit of an array that is not empty, or of private ranges, increments the generation.
        let isEmpty = record.submit.slots.isEmpty && (record.submit.attributes ?? []).isEmpty
        let counted: UInt64 = isEmpty ? 0 : 1
        guard record.generation.rawValue >= counted else {
            throw ProtocolError(.invalidRequest, "generation 0 has no slots and no private ranges")
        }
        try self.init(
            record.create, of: record.user, in: service,
            generation: Generation(record.generation.rawValue - counted),
            kept: StoredVM(state, number: record.number, simulated: record.create.simulated))
        try restoreMemory(record, state)
        // Validated and applied like a peer's submit.
        let receipt = try submit(record.submit).receipt
        guard receipt.generation == record.generation else {
            throw ProtocolError(
                .invalidRequest, "the array was restored as generation \(receipt.generation)")
        }
        // It begins at an empty array, which no earlier generation had.
        table.dropHistory()
    }

    private func restoreMemory(_ record: VMRecord, _ state: StateStore) throws(ProtocolError) {
        for kept in record.memories {
            let kind: MemoryObject.Kind =
                switch kept.place {
                case .guestMemfd, .sharedGuestMemfd:
                    try makeGuestMemfd(size: kept.size, isShared: kept.place == .sharedGuestMemfd)
                case .file, .descriptor: .mapped(try state.restore(kept, of: record.number))
                }
            let object = MemoryObject(
                id: kept.id, name: kept.name, size: kept.size, pageSize: kept.pageSize, kind: kind,
                charges: account.reserve(held: kept.size.rawValue), place: kept.place)
            memory.objects.withLock { $0.add(object) }
        }
        memory.objects.withLock { $0.skip(record.lastMemory) }
    }
}
