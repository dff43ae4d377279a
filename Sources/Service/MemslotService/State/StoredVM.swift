internal import MemslotProtocol
internal import Memslots

/// The record and the memory of one VM in a ``StateStore``. It is changed under the VM's lock.
final class StoredVM: Sendable {
    let store: StateStore
    let number: UInt64
    let simulated: SimulatedParameters

    init(_ store: StateStore, number: UInt64, simulated: SimulatedParameters) {
        (self.store, self.number, self.simulated) = (store, number, simulated)
    }

    var fileName: String { StateNames.record(number) }

    /// Writes the record, and then executes `body`, which applies the change. If `body` throws, the
    /// old record is restored. Throws the refusal if the record can't be written, or what `body`
    /// throws.
    func write(
        _ contents: VMRecord.Contents, then body: () throws(ProtocolError) -> Void
    ) throws(ProtocolError) {
        let written = try write(contents)
        do throws(ProtocolError) { try body() } catch {
            throw written.restorePrevious(because: error)
        }
        written.removePrevious()
    }

    /// Writes the record of a change that is not applied yet. Throws the refusal if the record
    /// can't be written.
    func write(_ contents: VMRecord.Contents) throws(ProtocolError) -> Written {
        let bytes = contents.bytes
        guard bytes.count <= VMRecord.byteLimit else {
            throw .limit("stateBytes", "the record of a VM has at most \(VMRecord.byteLimit) bytes")
        }
        do throws(StateFile.Failure) {
            let replacement = try store.file(fileName).replace(bytes)
            // An older record that was ahead of the VM is replaced.
            store.troubles.withLock { _ = $0.ahead.removeValue(forKey: fileName) }
            return Written(vm: self, contents: contents, replacement: replacement)
        } catch {
            let refusal = refuse(contents, error.errno)
            throw error.isReplaced ? refusal.adding(recordIsAhead(contents, error.errno)) : refusal
        }
    }

    /// Returns the error for a record that can't be written, and reports it to the observer.
    func refuse(_ contents: VMRecord.Contents, _ errno: Errno) -> ProtocolError {
        store.notify(.unwritten(vm: contents.vm, user: contents.user, errno: errno))
        return .unwritten(errno)
    }

    /// Records that a refused change stays in the record. Returns a sentence for the error.
    fileprivate func recordIsAhead(_ contents: VMRecord.Contents, _ errno: Errno) -> String {
        store.troubles.withLock { $0.ahead[fileName] = (contents.user, contents.vm) }
        store.notify(.ahead(vm: contents.vm, user: contents.user, file: fileName, errno: errno))
        return "the record contains the change nevertheless; it could not be undone (\(errno))"
    }

    /// A record that is written, while its change is not applied yet.
    struct Written {
        fileprivate let vm: StoredVM
        fileprivate let contents: VMRecord.Contents
        fileprivate let replacement: StateFile.Replacement

        /// Removes the old record, after the change was applied.
        func removePrevious() { replacement.removePrevious() }

        /// Restores the old record, after the change failed. Returns `error`, with one more
        /// sentence if the old record can't be restored.
        func restorePrevious(because error: ProtocolError) -> ProtocolError {
            do throws(Errno) { try replacement.restorePrevious() } catch let errno {
                return error.adding(vm.recordIsAhead(contents, errno))
            }
            return error
        }
    }
}

extension VirtualMachine {
    /// Submits an array, and writes the record after validation and before the first operation. If
    /// the transaction fails, the old record is restored.
    ///
    /// The caller holds ``changes``, so that nothing else writes the record.
    func submit(
        _ parameters: SubmitParameters, keeping kept: StoredVM
    ) throws(ProtocolError) -> (receipt: Receipt, names: SlotNames) {
        var written: StoredVM.Written?
        do throws(ProtocolError) {
            // The closure is called for a valid array, before anything is applied.
            let submitted = try submit(parameters) {
                generation, slots, ranges throws(ProtocolError) in
                let contents = contents(
                    kept, generation: generation, slots: memory.names.messages(of: slots), ranges)
                written = try kept.write(contents)
            }
            written?.removePrevious()
            return submitted
        } catch { throw written?.restorePrevious(because: error) ?? error }
    }

    /// Returns the contents of the record, with the table and the memory as they are now.
    func contents(_ kept: StoredVM) -> VMRecord.Contents {
        let snapshot = table.snapshot()
        return contents(
            kept, generation: snapshot.generation,
            slots: memory.names.messages(of: snapshot.array.slots), snapshot.privateRanges)
    }

    private func contents(
        _ kept: StoredVM, generation: Generation, slots: NamedSlots, _ ranges: [GuestRange]
    ) -> VMRecord.Contents {
        let (memories, last) = memory.objects.withLock { ($0.all.compactMap(\.kept), $0.lastID) }
        return VMRecord.Contents(
            number: kept.number, user: account.user, vm: name, backend: backendName,
            simulated: kept.simulated, generation: generation, lastMemory: last,
            memories: memories, slots: slots, attributes: ranges)
    }
}

extension MemoryObject {
    /// The object in a record; `nil` if it does not outlive the server.
    var kept: StoredMemory? {
        place.map { StoredMemory(id: id, name: name, size: size, pageSize: pageSize, place: $0) }
    }
}

extension ProtocolError {
    /// The error for a change that is refused because its record can't be written.
    static func unwritten(_ errno: Errno) -> ProtocolError {
        let reason = "the state directory can't be written (\(errno))"
        return ProtocolError(
            ErrorData(.prepareRejected, errno: errno, reason: reason),
            message: "\(reason); nothing was changed")
    }

    fileprivate func adding(_ sentence: String) -> ProtocolError {
        var error = self
        error.message += "; \(sentence)"
        error.data.reason = (data.reason.map { $0 + "; " } ?? "") + sentence
        return error
    }
}
