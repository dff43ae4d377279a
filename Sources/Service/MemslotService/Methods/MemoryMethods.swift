internal import Glibc
internal import MemslotProtocol
internal import Memslots

extension MemslotService {
    func createMemory(
        _ parameters: MemoryCreateParameters, _ peer: Peer, _ descriptors: PassedDescriptors
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(parameters.vm, of: peer)
        try vm.refuseIfObserved()
        let name = parameters.memory
        try Self.validate(name: name, path: "memory")
        // Checked before the memory is made, and again when it is added.
        try vm.memory.objects.withLock { objects throws(ProtocolError) in
            try checkFree(name, in: vm, objects)
        }
        let made: (size: ByteCount, pageSize: ByteCount, kind: MemoryObject.Kind)
        let place = try vm.kept?.place(for: parameters.source)
        let id = try vm.memory.objects.withLock { objects throws(ProtocolError) in
            guard let id = objects.nextID() else {
                throw .limit("memoriesPerPeer", "the VM has no number left for an object")
            }
            return id
        }
        switch parameters.source {
        case .made(let backing):
            made = try make(backing, vm, id, place, size: parameters.size ?? .zero)
        case .passed(let index):
            made = try adopt(index, of: descriptors, size: parameters.size, peer)
        }
        let reservation: MemoryReservation
        do throws(ProtocolError) {
            reservation = try vm.account.reserve(bytes: made.size.rawValue, limits)
        } catch {
            vm.discard(made.kind)
            if place == .file { vm.kept?.drop(id, place) }
            throw error
        }
        let object = MemoryObject(
            id: id, name: name, size: made.size, pageSize: made.pageSize, kind: made.kind,
            reservation: reservation, place: place)
        do throws(ProtocolError) {
            if let kept = vm.kept {
                try admit(object, to: vm, kept)
            } else {
                try vm.memory.objects.withLock { objects throws(ProtocolError) in
                    try checkFree(name, in: vm, objects)
                    objects.add(object)
                }
            }
            return .memory(
                ListedMemory(memory: name, size: object.size, pageSize: object.pageSize))
        } catch {
            vm.discard(made.kind)
            throw error
        }
    }

    func checkFree(
        _ name: String, in vm: VirtualMachine, _ objects: MemoryObjects
    ) throws(ProtocolError) {
        guard objects[name] == nil, vm.memory.mappings[name] == nil else {
            throw ProtocolError(.memoryExists, "there is a memory object \"\(name)\" already")
        }
    }

    private func make(
        _ backing: MemoryBacking, _ vm: VirtualMachine, _ id: MemoryObjectID,
        _ place: MemoryPlace?, size: ByteCount
    ) throws(ProtocolError) -> (size: ByteCount, pageSize: ByteCount, kind: MemoryObject.Kind) {
        guard size != .zero, size.isPageAligned else {
            throw .refusedSize("\(size) is not a multiple of 4096 above 0")
        }
        // Checked before anything is made, because the size may be larger than any file.
        guard size.rawValue <= limits.memoryBytesPerPeer else {
            throw .limit(
                "memoryBytesPerPeer",
                "a peer's memory objects have at most \(limits.memoryBytesPerPeer) bytes")
        }
        guard backing == .guestMemfd else {
            guard place == .file, let kept = vm.kept else {
                let file = try MemoryFile.make(backing, size: size)
                return (size, file.mapped.pageSize, .mapped(file.mapped))
            }
            do throws(Errno) {
                let file = try kept.makeFile(id, size: size)
                return (size, file.pageSize, .mapped(file))
            } catch {
                throw .unavailable(backing, size, error)
            }
        }
        do throws(Errno) {
            return (size, pageSize, .guestMemfd(handle: try vm.createGuestMemfd(size: size)))
        } catch {
            throw .unavailable(backing, size, error)
        }
    }

    private func adopt(
        _ index: Int, of descriptors: PassedDescriptors, size: ByteCount?, _ peer: Peer
    ) throws(ProtocolError) -> (size: ByteCount, pageSize: ByteCount, kind: MemoryObject.Kind) {
        guard let descriptor = descriptors.claim(index) else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "fd"),
                message: "fd: no descriptor \(index) came with this line, or it is already claimed")
        }
        let file = try MemoryFile.adopt(descriptor, size: size, user: peer.user)
        return (file.size, file.mapped.pageSize, .mapped(file.mapped))
    }

    func listMemory(of name: String, _ peer: Peer) throws(ProtocolError) -> Reply {
        let vm = try vm(name, of: peer)
        let objects = vm.memory.objects.withLock { $0.all }
        let all =
            objects.map { ListedMemory(memory: $0.name, size: $0.size, pageSize: $0.pageSize) }
            + vm.memory.mappings.all.map {
                ListedMemory(
                    memory: $0.name, size: $0.mapping.size, pageSize: $0.mapping.pageSize)
            }
        return .memories(all.sorted { $0.memory < $1.memory })
    }

    func destroyMemory(
        _ memory: String, of name: String, _ peer: Peer
    ) throws(ProtocolError) -> Reply {
        let vm = try vm(name, of: peer)
        // Kept until after the locks: the memory is unmapped when it is released.
        let object = try vm.changes.withLock { () throws(ProtocolError) in
            let object = try self.object(memory, of: vm)
            guard !vm.uses(object) else {
                throw ProtocolError(
                    .memoryInUse,
                    "slots of \"\(vm.name)\" are backed by \"\(object.name)\"; "
                        + "submit an array without them first")
            }
            try forget(object, of: vm)
            return object
        }
        vm.discard(object.kind)
        return .done
    }

    func exportMemory(
        _ memory: String, of name: String, _ peer: Peer
    ) throws(ProtocolError) -> Reply {
        let object = try object(memory, of: vm(name, of: peer))
        guard case .mapped(let file) = object.kind else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memory"),
                message: "memory: \"\(object.name)\" is a guest_memfd, which can't be mapped")
        }
        guard object.place != .file else {
            let reason = "it is kept in a file, which can't be sealed against shrinking"
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memory", reason: reason),
                message: "memory: \"\(object.name)\" is not exported: \(reason); "
                    + "a descriptor store, or an ephemeral VM, has memory that is")
        }
        do throws(Errno) {
            return .exported(
                memory: object.name, size: object.size,
                PassedDescriptors([try file.exported()]))
        } catch {
            throw ProtocolError(
                ErrorData(.limitExceeded, errno: error, limit: "descriptors"),
                message: "the server has no descriptor left: \(error)")
        }
    }

    /// The object of this name that was created over the wire.
    private func object(
        _ name: String, of vm: VirtualMachine
    ) throws(ProtocolError) -> MemoryObject {
        if let object = vm.memory.objects.withLock({ $0[name] }) { return object }
        guard vm.memory.mappings[name] == nil else {
            throw ProtocolError(
                ErrorData(.invalidParams, path: "memory"),
                message: "memory: \"\(name)\" is a mapping of the process that serves the VM; "
                    + "it can be neither exported nor destroyed")
        }
        throw ProtocolError(.unknownMemory, "there is no memory object \"\(name)\"")
    }
}

extension VirtualMachine {
    /// Closes the guest_memfd of memory that no slot names.
    fileprivate func discard(_ kind: MemoryObject.Kind) {
        guard case .guestMemfd(let handle) = kind else { return }
        closeGuestMemfd(handle)
    }
}
