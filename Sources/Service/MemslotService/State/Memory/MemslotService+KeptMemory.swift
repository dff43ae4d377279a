internal import MemslotProtocol
internal import Memslots
internal import Synchronization

extension MemslotService {
    /// Puts an object in, written down first.
    ///
    /// - Throws: why not; nothing is kept for it then, and whoever made it lets it go.
    func admit(
        _ object: MemoryObject, to vm: VirtualMachine, _ kept: KeptVM
    ) throws(ProtocolError) {
        do throws(ProtocolError) {
            if object.place == .descriptor, case .mapped(let file) = object.kind {
                try keepDescriptor(of: file, object, kept)
            }
            try vm.changes.withLock { () throws(ProtocolError) in
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
        } catch {
            kept.drop(object.id, object.place)
            throw error
        }
    }

    private func keepDescriptor(
        of file: MappedFile, _ object: MemoryObject, _ kept: KeptVM
    ) throws(ProtocolError) {
        do throws(Errno) { try kept.keepDescriptor(object.id, file) } catch {
            let reason = "the descriptor store can't keep it (\(error))"
            throw ProtocolError(
                ErrorData(.prepareRejected, errno: error, reason: reason),
                message: "memory \"\(object.name)\": \(reason); nothing was changed")
        }
    }

    /// Takes an object out that no slot uses, written down first. Called with the VM's `changes`
    /// held.
    func forget(_ object: MemoryObject, of vm: VirtualMachine) throws(ProtocolError) {
        guard let kept = vm.kept else {
            return vm.memory.objects.withLock { $0.remove(object) }
        }
        guard vm.feed.isOpen else { throw .gone(vm.name) }
        var contents = vm.contents(kept)
        contents.memories.removeAll { $0.id == object.id }
        try kept.write(contents) { () throws(ProtocolError) in
            vm.memory.objects.withLock { $0.remove(object) }
        }
        kept.drop(object.id, object.place)
    }
}
