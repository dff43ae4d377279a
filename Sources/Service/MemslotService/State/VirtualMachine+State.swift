internal import MemslotProtocol
internal import Memslots
internal import Synchronization

extension VirtualMachine {
    /// Submits an array whose record is written before it is applied, and restored if that fails.
    ///
    /// Called with ``changes`` held, so that nobody else writes the record meanwhile.
    func submit(
        _ parameters: SubmitParameters, keeping kept: KeptVM
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        var written: KeptVM.Written?
        do throws(ProtocolError) {
            // Everything that can be wrong with the array is found before anything is written.
            let submitted = try submit(parameters) { generation, slots throws(ProtocolError) in
                let contents = contents(
                    kept, generation: generation, slots: memory.names.messages(of: slots))
                written = try kept.write(contents)
            }
            written?.keep()
            return submitted
        } catch {
            throw written?.takenBack(because: error) ?? error
        }
    }

    /// What the record is to say, with the table and the memory as they are.
    func contents(_ kept: KeptVM) -> VMRecord.Contents {
        let snapshot = table.snapshot()
        return contents(
            kept, generation: snapshot.generation,
            slots: memory.names.messages(of: snapshot.array.slots))
    }

    private func contents(
        _ kept: KeptVM, generation: Generation, slots: NamedSlots
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
