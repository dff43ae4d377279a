internal import MemslotProtocol
internal import Memslots

// Changes of VMs that have a record: each is written to the record first, and then applied.
extension MemslotService {
    /// Registers a new VM under its name.
    func add(_ vm: VirtualMachine, _ peer: Peer) throws(ProtocolError) {
        guard let state else { return try register(vm, peer) }
        try state.names.withLock { _ throws(ProtocolError) in
            if let trouble = unrestored(vm.name, of: peer) {
                throw ProtocolError(
                    ErrorData(.vmExists, reason: trouble.reason),
                    message: "a VM \"\(vm.name)\" exists, but could not be restored: "
                        + "\(trouble.reason); vm.destroy removes it, a restart tries again")
            }
            guard let kept = vm.kept else { return try register(vm, peer) }
            // Stays true as long as the names are locked.
            try requireFree(vm.name, of: peer)
            try kept.write(vm.contents(kept)) { () throws(ProtocolError) in try register(vm, peer) }
        }
    }

    /// Removes a VM that has a record: first from the state, then from the service. Returns whether
    /// the VM was registered.
    func forget(_ vm: VirtualMachine, _ kept: StoredVM) throws(ProtocolError) -> Bool {
        // Waits for a running submit, which would write the record again.
        try vm.changes.withLock { _ throws(ProtocolError) in
            guard vm.feed.isOpen else { return false }
            do throws(Errno) {
                try kept.store.removeVM(kept.number) {
                    _ = registry.withLock { $0.remove(vm) }
                    for object in vm.memory.objects.withLock({ $0.all }) {
                        kept.drop(object.id, object.place)
                    }
                }
            } catch { throw kept.refuse(vm.contents(kept), error) }
            return true
        }
    }

    /// Returns the VM of this name that could not be restored, if there is one.
    func unrestored(_ name: String, of peer: Peer) -> StateTroubles.Unrestored? {
        state?.troubles.withLock { $0.unrestored[peer.user]?[Name(name)] }
    }

    func missing(_ name: String, _ peer: Peer) -> ProtocolError {
        guard let unrestored = unrestored(name, of: peer) else {
            return .gone(name, among: registry.withLock { $0.all(of: peer) }.lazy.map(\.name))
        }
        return ProtocolError(
            ErrorData(.backendUnavailable, reason: unrestored.reason),
            message: "the VM \"\(name)\" could not be restored: \(unrestored.reason); "
                + "vm.destroy removes it, a restart tries again")
    }

    /// Removes a VM that could not be restored. Returns whether there was one.
    func destroyUnrestored(_ name: String, _ peer: Peer) throws(ProtocolError) -> Bool {
        guard let state else { return false }
        return try state.names.withLock { _ throws(ProtocolError) in
            guard let unrestored = unrestored(name, of: peer) else { return false }
            do throws(Errno) {
                try state.removeVM(unrestored.record) {
                    state.troubles.withLock { $0.unrestored[peer.user]?[Name(name)] = nil }
                    for memory in unrestored.memories {
                        state.drop(memory.id, of: unrestored.record, memory.place)
                    }
                }
            } catch {
                state.notify(.unwritten(vm: name, user: peer.user, errno: error))
                throw .unwritten(error)
            }
            return true
        }
    }
}

// MARK: Memory objects
extension MemslotService {
    /// Adds a memory object to the VM and its record. Throws the refusal; nothing remains of the
    /// object in the state then.
    func add(
        _ object: MemoryObject, to vm: VirtualMachine, _ kept: StoredVM
    ) throws(ProtocolError) {
        if object.place == .descriptor, case .mapped(let file) = object.kind {
            try storeDescriptor(of: file, object, kept)
        }
        try vm.changes.withLock { _ throws(ProtocolError) in
            guard vm.feed.isOpen else { throw .gone(vm.name) }
            try vm.memory.objects.withLock { objects throws(ProtocolError) in
                try checkFree(object.name, in: vm, objects)
            }
            var contents = vm.contents(kept)
            if let memory = object.kept { contents.memories.append(memory) }
            try kept.write(contents) { () throws(ProtocolError) in
                vm.memory.objects.withLock { $0.add(object) }
            }
        }
    }

    private func storeDescriptor(
        of file: MappedFile, _ object: MemoryObject, _ kept: StoredVM
    ) throws(ProtocolError) {
        do throws(Errno) { try kept.storeDescriptor(object.id, file) } catch {
            let reason = "the descriptor store can't hold it (\(error))"
            throw ProtocolError(
                ErrorData(.prepareRejected, errno: error, reason: reason),
                message: "memory \"\(object.name)\": \(reason); nothing was changed")
        }
    }

    /// Removes a memory object that no slot uses from the VM and its record. The caller holds the
    /// VM's `changes`.
    func forget(_ object: MemoryObject, of vm: VirtualMachine) throws(ProtocolError) {
        guard let kept = vm.kept else { return vm.memory.objects.withLock { $0.remove(object) } }
        guard vm.feed.isOpen else { throw .gone(vm.name) }
        var contents = vm.contents(kept)
        contents.memories.removeAll { $0.id == object.id }
        try kept.write(contents) { () throws(ProtocolError) in
            vm.memory.objects.withLock { $0.remove(object) }
        }
        kept.drop(object.id, object.place)
    }
}
