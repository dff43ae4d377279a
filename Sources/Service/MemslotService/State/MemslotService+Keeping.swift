internal import MemslotProtocol
internal import Memslots
internal import Synchronization

// What the methods do where a VM is kept: written down first, then carried out.
extension MemslotService {
    /// Puts a VM that was made in under its name.
    func admit(_ vm: VirtualMachine, _ peer: Peer) throws(ProtocolError) {
        guard let state else { return try register(vm, peer) }
        try state.names.withLock { _ throws(ProtocolError) in
            guard unrestored(vm.name, of: peer) == nil else {
                throw ProtocolError(
                    .vmExists,
                    "there is a VM \"\(vm.name)\" already, which could not be restored; "
                        + "vm.destroy ends it")
            }
            guard let kept = vm.kept else { return try register(vm, peer) }
            // Nobody else puts one in while the names are held, so that this stays true.
            try checkRoom(for: vm.name, peer)
            try kept.write(vm.contents(kept)) { () throws(ProtocolError) in
                try register(vm, peer)
            }
        }
    }

    /// Takes out a VM that is kept: first of the state, then of the service.
    ///
    /// - Returns: whether it was in.
    func forget(_ vm: VirtualMachine, _ kept: KeptVM) throws(ProtocolError) -> Bool {
        // A submit that runs is waited for, or it would write the record anew.
        try vm.changes.withLock { () throws(ProtocolError) in
            guard vm.feed.isOpen else { return false }
            do throws(Errno) { try kept.store.directory.remove(kept.fileName) } catch {
                throw kept.refuse(vm.contents(kept), error)
            }
            _ = registry.withLock { $0.remove(vm) }
            for object in vm.memory.objects.withLock({ $0.all }) {
                kept.drop(object.id, object.place)
            }
            return true
        }
    }

    /// What is known of a VM that could not be restored.
    func unrestored(_ name: String, of peer: Peer) -> StateTroubles.Unrestored? {
        state?.troubles.withLock { $0.unrestored[peer.user]?[name] }
    }

    /// The answer for a VM that is not here.
    func missing(_ name: String, _ peer: Peer) -> ProtocolError {
        guard let unrestored = unrestored(name, of: peer) else { return .gone(name) }
        return ProtocolError(
            ErrorData(.backendUnavailable, reason: unrestored.reason),
            message: "the VM \"\(name)\" could not be restored: \(unrestored.reason); "
                + "vm.destroy ends it, a restart tries again")
    }

    /// Ends a VM that could not be restored.
    ///
    /// - Returns: whether there is one.
    func destroyUnrestored(_ name: String, _ peer: Peer) throws(ProtocolError) -> Bool {
        guard let state else { return false }
        return try state.names.withLock { _ throws(ProtocolError) in
            guard let unrestored = unrestored(name, of: peer) else { return false }
            do throws(Errno) {
                try state.directory.remove(StateNames.record(unrestored.record))
            } catch {
                state.note(.unwritten(vm: name, user: peer.user, errno: error))
                throw .unwritten(error)
            }
            state.troubles.withLock { $0.unrestored[peer.user]?[name] = nil }
            for memory in unrestored.memories {
                state.drop(memory.id, of: unrestored.record, memory.place)
            }
            return true
        }
    }
}
