internal import MemslotProtocol
internal import Memslots
internal import Synchronization

extension VirtualMachine {
    /// Submits an array that is written down before it is made, and taken back if it isn't.
    ///
    /// Called with ``changes`` held, so that nothing comes between the plan and the submit.
    func submit(
        _ parameters: SubmitParameters, keeping kept: KeptVM
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        // Everything that can be wrong with the array is found here, before anything is written.
        let (planned, names) = try plan(parameters)
        guard planned.outcome == .committed else { return try submit(parameters) }
        let slots = table.snapshot().array.slots.applying(planned.diff)
        let contents = contents(
            kept, generation: planned.generation, slots: names.messages(of: slots))
        return try kept.write(contents) { () throws(ProtocolError) in try submit(parameters) }
    }

    /// What the record is to say, with the table and the memory as they are.
    func contents(_ kept: KeptVM) -> VMRecord.Contents {
        let snapshot = table.snapshot()
        return contents(
            kept, generation: snapshot.generation,
            slots: memory.names.messages(of: snapshot.array.slots))
    }

    private func contents(
        _ kept: KeptVM, generation: Generation, slots: [SlotMessage]
    ) -> VMRecord.Contents {
        let (memories, last) = memory.objects.withLock { ($0.all.compactMap(\.kept), $0.lastID) }
        return VMRecord.Contents(
            number: kept.number, user: account.user, vm: name, backend: backendName,
            simulated: kept.simulated, generation: generation, lastMemory: last,
            memories: memories, slots: slots)
    }
}

extension MemoryObject {
    /// The object as a record names it; `nil` for one that is not kept.
    var kept: KeptMemory? {
        place.map { KeptMemory(id: id, name: name, size: size, pageSize: pageSize, place: $0) }
    }
}

extension [Memslot] {
    /// These slots, ascending by key, changed as `diff` says.
    fileprivate func applying(_ diff: MemslotDiff) -> [Memslot] {
        let removed = Set(diff.removed.map(\.key))
        var changed: [SlotKey: Memslot] = [:]
        for pair in diff.moved + diff.reflagged { changed[pair.after.key] = pair.after }
        let stayed = compactMap { slot in
            removed.contains(slot.key) ? nil : changed[slot.key] ?? slot
        }
        return (stayed + diff.added).sorted { $0.key < $1.key }
    }
}
